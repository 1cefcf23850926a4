"""Baselines without a meaningful metric, and data that are missing or change, are refused."""

from dataclasses import replace

import numpy as np
import pytest

from spaces.errors import TaskError
from tests.helpers.tiny.mine import Mine
from trainables.baseline import measure_baseline
from trainables.checking import check_task
from trainables.context import TrialContext
from trainables.files.codec import decode, encode
from trainables.files.node import Node
from trainables.metrics import TopOneAccuracy, metric_value
from trainables.results import Baseline
from trainables.sanity import FirstPass, compare_with_chance
from trainables.task import Batch, ModelInput


class Float32(TopOneAccuracy):
    """Gives its numbers as numpy's."""

    name = np.str_("accuracy")
    maximize = np.bool_(True)

    def aggregate(self, statistics):
        return np.float32(statistics.mean())


class Wordy(TopOneAccuracy):
    def aggregate(self, statistics):
        return {"accuracy": statistics.mean()}


class Numpy(Mine):
    inputs = (
        ModelInput("image", tuple(np.array([1, 14, 14])), scale=np.float32(1 / 255), std=(0.353,)),
    )
    metric = Float32()


class Empty(Mine):
    def __init__(self, weights, split, kind):
        super().__init__(weights)
        self.split, self.kind = split, kind

    def eval_batches(self, split, batch_size):
        batches = super().eval_batches(split, batch_size)
        if split != self.split:
            yield from batches
        elif self.kind == "no sample":
            batch = next(batches)
            yield Batch((batch.inputs[0][:0],), batch.targets[:0])


class Shuffled(Mine):
    """Yields the batches of one split in another order each time, after the first one if `late`."""

    def __init__(self, weights, split, late):
        super().__init__(weights)
        self.split, self.late, self.passes = split, late, 0

    def eval_batches(self, split, batch_size):
        batches = list(super().eval_batches(split, batch_size))
        if split == self.split:
            fixed = 1 if self.late else 0
            others = batches[fixed:]
            first = self.passes % len(others)
            batches = [*batches[:fixed], *others[first:], *others[:first]]
            self.passes += 1
        yield from batches


def measure(task, context, tmp_path, **settings):
    changed = context.settings.having(run_folder=str(tmp_path), **settings)
    return measure_baseline(task, changed), changed


def test_numbers_of_any_kind_are_numbers(context, tiny_weights, tmp_path):
    found, settings = measure(Numpy(tiny_weights), context, tmp_path)
    assert found.metric == pytest.approx(context.baseline.metric, abs=1e-6)
    again = decode(Baseline, encode(Baseline, found))
    assert again == found
    assert TrialContext(settings, again, Node()).baseline == found


def test_a_metric_that_is_not_a_number_is_refused():
    with pytest.raises(TaskError, match="aggregate gives dict, a number is expected"):
        metric_value(Wordy(), np.ones(4))


@pytest.mark.parametrize("kind", ["no batch", "no sample"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_an_empty_split_is_noticed_before_anything_is_measured(
    split, kind, context, tiny_weights, tmp_path
):
    with pytest.raises(TaskError, match=f"its {split} split holds no sample"):
        measure(Empty(tiny_weights, split, kind), context, tmp_path)
    assert not (tmp_path / "baseline").exists()


@pytest.mark.parametrize("split, late", [("val", False), ("test", False), ("val", True)])
def test_another_order_is_noticed(split, late, context, tiny_weights, tmp_path):
    with pytest.raises(TaskError, match=rf"eval_batches\('{split}', ...\) yields other inputs"):
        measure(Shuffled(tiny_weights, split, late), context, tmp_path, eval_batch=20)


def test_another_order_in_another_process_is_noticed(context):
    other = replace(context.baseline, first_batch="of another order")
    with pytest.raises(TaskError, match="in another process"):
        TrialContext(context.settings, other, Node())
    # The baseline of a run that began before this check existed.
    TrialContext(context.settings, replace(context.baseline, first_batch=None), Node())


def test_trained_weights_are_above_chance_and_untrained_ones_are_not(
    context, tiny_weights, tmp_path
):
    trained = context.baseline.chance
    assert trained.metric < 0.2
    assert not trained.reached
    import paddle

    # With some seeds untrained weights are above chance by luck.
    paddle.seed(3)
    untrained, _ = measure(Mine(), context, tmp_path)
    assert untrained.chance.reached
    assert "WARNING" in untrained.chance.in_words("top1_accuracy", untrained.metric)


def test_check_task_says_that_a_model_is_at_chance():
    import paddle

    paddle.seed(3)
    said = {d.name: d.said for d in check_task("tests.helpers.tiny.mine:make_task", {})}
    assert "WARNING: top1_accuracy" in said["metric"]
    assert "ignores its inputs" in said["metric"]


class Constant(Mine):
    def build_model(self):
        model = super().build_model()
        model.head.weight.set_value(np.zeros([32, 10], "float32"))
        return model


def test_a_model_whose_outputs_never_change_is_refused(context, tiny_weights, tmp_path):
    with pytest.raises(TaskError, match="outputs are the same for all inputs"):
        measure(Constant(tiny_weights), context, tmp_path)


def seen(task, outputs):
    """Return the observer of a pass over 40 samples, 10 per batch."""
    first_pass = FirstPass()
    for start, batch in zip(range(0, 40, 10), task.eval_batches("val", 10), strict=False):
        first_pass(batch, [output[start : start + 10] for output in outputs])
    return first_pass


class Few(Mine):
    def eval_batches(self, split, batch_size):
        yield from list(super().eval_batches(split, batch_size))[:4]


def test_outputs_that_are_not_one_per_sample_give_no_chance_level(tiny_weights):
    first_pass = seen(Few(tiny_weights), [np.random.default_rng(0).random((17, 6))])
    assert first_pass.varies
    assert first_pass.constant_statistics(Few(tiny_weights), "val", 10) is None


def test_chance_is_the_most_frequent_class_whatever_the_order(tiny_weights):
    task = Few(tiny_weights)
    labels = np.concatenate([batch.targets for batch in task.eval_batches("val", 10)])
    # A model that always predicts 3.
    outputs = np.zeros((40, 10), "float32")
    outputs[:, 3] = 1.0 + np.arange(40) / 40
    constant = seen(task, [outputs]).constant_statistics(task, "val", 10)
    assert constant.mean() == (labels == 3).mean()
    statistics = task.metric.sample_statistics([outputs], labels)
    assert compare_with_chance(task, statistics, constant).reached
