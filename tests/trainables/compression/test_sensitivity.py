import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from tests.helpers.tiny.mine import Mine
from tests.trainables.compression.branched import Block, normed
from trainables.compression import sensitivity
from trainables.compression.norms import reestimated_norms
from trainables.compression.pruner import ChannelPruner
from trainables.compression.sensitivity import SensitivityProbe, cached_sensitivities
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.evaluation import eager, evaluate
from trainables.files.cache import JsonCache
from trainables.task import Batch


def baseline_metric(task):
    return task.metric.aggregate(evaluate(eager(task.build_model()), task, "val", 100))


def measured(task, group, ratios):
    base = baseline_metric(task)
    with SensitivityProbe(task, 100, 1) as probe:
        return probe.curve(group, ratios, base)


def test_a_small_ratio_loses_less_than_a_large_one(tiny_weights):
    task = Mine(tiny_weights)
    rows = measured(task, "conv2.weight", [0.0625, 0.9375])
    assert [row.ratio for row in rows] == [0.0625, 0.9375]
    assert rows[0].metric_loss < rows[1].metric_loss
    assert rows[1].metric_loss > 0.2


class Blocks(nn.Layer):
    """The tiny network with a residual block whose branch is scaled by its norm."""

    def __init__(self):
        super().__init__()
        self.stem = normed(1, 8, 2)
        self.block = Block()
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.block(F.relu(self.stem(x))).mean([2, 3]))


class Branched(Mine):
    def build_model(self):
        paddle.seed(0)
        return Blocks()


class Guided(Blocks):
    """In training a second head reads what the block reads, as PP-LiteSeg's."""

    def __init__(self):
        super().__init__()
        self.second = normed(8, 10)

    def forward(self, x):
        found = super().forward(x)
        second = self.second(F.relu(self.stem(x)))
        return [found, second] if self.training else found


class WithAuxiliary(Mine):
    def build_model(self):
        paddle.seed(0)
        return Guided()


def test_what_runs_in_training_alone_is_no_hindrance():
    task = WithAuxiliary()
    base = baseline_metric(task)
    with SensitivityProbe(task, 100, 1) as probe:
        rows = [
            *probe.curve("block.step1", [1.0], base),
            *probe.curve("stem.0.weight", [0.5], base),
        ]
    assert all(row.metric is not None for row in rows)


def test_a_branch_is_measured_without_it_and_the_model_is_whole_again():
    """With its norms' statistics measured anew: those of untrained layers are off."""
    task = Branched()
    base = baseline_metric(task)
    with SensitivityProbe(task, 100, 1) as probe:
        (row,) = probe.curve("block.step1", [1.0], base)
        whole = probe.curve("stem.0.weight", [0.5], base)
        assert probe.curve("stem.0.weight", [0.5], base) == whole
    assert row.ratio == 1.0
    model = task.build_model()
    ChannelPruner(model, task.inputs).prune({"block.step1": 1.0})
    with reestimated_norms(model, task):
        expected = task.metric.aggregate(evaluate(eager(model), task, "val", 100))
    # The engine computes in bfloat16 where the processor has it.
    assert row.metric == pytest.approx(expected, abs=0.03)


def test_a_program_that_is_slow_to_load_is_no_longer_optimized(tiny_weights, monkeypatch):
    task, precisions = Mine(tiny_weights), []
    expected = measured(task, "conv1.weight", [0.25, 0.5, 0.75])

    def engine(folder, precision, threads):
        precisions.append(precision)
        return PaddleEngine(folder, precision, threads)

    monkeypatch.setattr(sensitivity, "PaddleEngine", engine)
    monkeypatch.setattr(sensitivity.Optimization, "learn", lambda self, *_: setattr(self, "on", 0))
    found = measured(task, "conv1.weight", [0.25, 0.5, 0.75])
    assert precisions[0] in ("bfloat16", "float") and precisions[1:] == [None, None]
    # The engine computes in bfloat16 where the processor has it, but not without optimization.
    assert [row.metric for row in found] == pytest.approx([r.metric for r in expected], abs=0.03)


@pytest.mark.parametrize(
    ("seconds", "on"),
    [
        # Loading is a small part, or a short one.
        ([(2, 5), (9, 9)], [True, True]),
        ([(0.5, 0.6), (9, 9)], [True, True]),
        # The other way is faster, or is not; later ones change nothing.
        ([(2, 3), (0.1, 2.5), (9, 9)], [False, False, False]),
        ([(2, 3), (0.1, 3.5), (9, 9)], [False, True, True]),
    ],
)
def test_the_faster_of_two_evaluations_decides(seconds, on):
    choice, found = sensitivity.Optimization(), []
    assert choice.on
    for loaded_s, whole_s in seconds:
        choice.learn(loaded_s, whole_s)
        found.append(choice.on)
    assert found == on


def test_ratios_do_not_depend_on_those_measured_before(tiny_weights):
    task = Mine(tiny_weights)
    alone = measured(task, "conv1.weight", [0.25])
    after = measured(task, "conv1.weight", [0.75, 0.25])
    assert alone[0] == after[1]


def test_a_ratio_that_fails_is_missing_and_the_others_are_measured(tiny_weights, monkeypatch):
    task = Mine(tiny_weights)
    whole = measured(task, "conv1.weight", [0.25, 0.75])
    masked = ChannelPruner.masked

    def fragile(self, ratios):
        if 0.5 in ratios.values():
            raise RuntimeError("half-way")
        return masked(self, ratios)

    monkeypatch.setattr(ChannelPruner, "masked", fragile)
    rows = measured(task, "conv1.weight", [0.25, 0.5, 0.75])
    assert rows[1].metric is rows[1].metric_loss is None
    assert [rows[0], rows[2]] == whole


def test_groups_share_one_model_and_each_is_measured_as_if_alone(tiny_weights, monkeypatch):
    task, built = Mine(tiny_weights), []
    alone = [measured(task, name, [0.5]) for name in ("conv1.weight", "conv2.weight")]
    build = task.build_model
    monkeypatch.setattr(task, "build_model", lambda: built.append(1) or build())
    base = baseline_metric(task)
    built.clear()
    with SensitivityProbe(task, 100, 1) as probe:
        together = [probe.curve(name, [0.5], base) for name in ("conv1.weight", "conv2.weight")]
    assert together == alone and len(built) == 1


def test_known_curves_are_not_computed_again(tiny_weights, tmp_path):
    cache, task = JsonCache(tmp_path), Mine(tiny_weights)
    base = baseline_metric(task)

    def probe():
        return SensitivityProbe(task, 100, 1)

    def never():
        raise AssertionError("the task was loaded")

    one = {"conv1.weight": [0.5]}
    first = cached_sensitivities(cache, "weights", probe, one, base)
    assert [known for _, known in first.values()] == [False]
    again = cached_sensitivities(cache, "weights", never, one, base)
    assert again == {"conv1.weight": (first["conv1.weight"][0], True)}
    both = cached_sensitivities(cache, "weights", probe, {**one, "conv2.weight": [0.5]}, base)
    assert {name: known for name, (_, known) in both.items()} == {
        "conv1.weight": True,
        "conv2.weight": False,
    }
    # Other weights have their own cache entries.
    other = cached_sensitivities(cache, "other weights", probe, one, base)
    assert not other["conv1.weight"][1]


def test_a_part_of_the_batches_is_compared_with_the_same_part(tiny_weights):
    task = Mine(tiny_weights)
    with SensitivityProbe(task, 20, 1, every=3) as probe:
        nothing, much = probe.curve("conv2.weight", [0.03125, 0.9375], math.nan)
    assert abs(nothing.metric_loss) < 0.1 and much.metric_loss > 0.2
    whole = evaluate(eager(task.build_model()), task, "val", 20)
    part = evaluate(eager(task.build_model()), task, "val", 20, every=3)
    batches = [whole[start : start + 20] for start in range(0, len(whole), 20)]
    assert (part == np.concatenate(batches[::3])).all()


class WrongAtFirst(Mine):
    """Has a first batch without a right label, so a part of its batches has a metric of 0."""

    def eval_batches(self, split, batch_size):
        for number, (inputs, targets) in enumerate(super().eval_batches(split, batch_size)):
            yield Batch(inputs, targets if number else np.full_like(targets, -1))


def test_a_part_that_has_a_metric_of_0_is_no_part_to_compare_with(tiny_weights):
    task = WrongAtFirst(tiny_weights)
    base = baseline_metric(task)
    with SensitivityProbe(task, 100, 1, every=1000) as some, SensitivityProbe(task, 100, 1) as all_:
        assert some.curve("conv2.weight", [0.5], base) == all_.curve("conv2.weight", [0.5], base)
