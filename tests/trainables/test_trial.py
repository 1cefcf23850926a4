"""One trial on the tiny task, without Ray."""

import numpy as np
import pytest

from spaces.errors import TrialError
from spaces.plan import ON_CPU, Plan, QuantizationChoice
from trainables.context import TrialContext
from trainables.deployment.engines.paddle_inference import PaddleEngine, supports_bfloat16
from trainables.evaluation import evaluate
from trainables.files.node import Node
from trainables.levels import FIXED_COST
from trainables.trial import WEIGHTS, run_trial
from trainables.weights import read_weights


@pytest.fixture(scope="module")
def leveled(context):
    """The context of a study whose plans are trained in two levels."""
    settings = context.settings.having(retrain_samples=4 * context.settings.finetune_samples)
    return TrialContext(settings, context.baseline, Node())


HALF = {"conv1.weight": 0.5, "conv2.weight": 0.5}


@pytest.mark.parametrize("choice", ON_CPU)
def test_pruned_trial_goes_through_every_stage(choice, context):
    if choice is QuantizationChoice.BFLOAT16 and not supports_bfloat16():
        pytest.skip("this processor has no bfloat16")
    number, plan = ON_CPU.index(choice), Plan.of(HALF, choice)
    states = []
    for result in run_trial(number, plan, context):
        states.append((result.state, len(result.measurements), result.level))
    # What was not measured has no level: a trial that is too slow is stopped there.
    assert states == [("RUNNING", 0, None), ("COMPLETE", 1, 0)]
    assert [m.fidelity for m in result.measurements] == [result.fidelity] == [1.0]
    assert result.metric_loss == result.measurements[-1].metric_loss
    assert result.latency_ratio > 0
    assert result.size_bytes < context.baseline.size_bytes
    assert [reading.stage for reading in result.readings] == ["shape", "export"]
    folder = context.settings.candidate_folder(number)
    assert read_weights(folder / WEIGHTS)["conv1.weight"].shape[0] == 8
    # The metric is the exported model's own.
    engine = PaddleEngine(folder, choice.precision, 1)
    again = context.task.metric.aggregate(evaluate(engine.run, context.task, "val", 100))
    assert again == result.metric


def test_a_promoted_trial_goes_on_from_its_weights(leveled):
    plan = Plan.of(HALF, QuantizationChoice.INT8_PTQ)
    before, first = leveled.settings.candidate_folder(80), read_level(leveled, 80, plan, 0)
    assert (first.state, first.level, first.fidelity) == ("PAUSED", 0, 0.25)
    assert [reading.stage for reading in first.readings] == ["shape"]
    start = read_weights(before / WEIGHTS)
    last = read_level(leveled, 80, plan, 1)
    assert (last.state, last.level, last.fidelity) == ("COMPLETE", 1, 1.0)
    assert [reading.stage for reading in last.readings] == ["export"]
    assert last.measurements[0].train_loss < first.measurements[0].train_loss
    after = read_weights(leveled.settings.candidate_folder(80, 1) / WEIGHTS)
    assert not np.array_equal(after["conv1.weight"], start["conv1.weight"])
    # The level before stays as it was, so that a level that dies is begun again from it.
    again = read_weights(before / WEIGHTS)
    assert all(np.array_equal(again[name], start[name]) for name in start)
    # And the repeated level gives the same model.
    assert read_level(leveled, 80, plan, 1).metric == last.metric


def read_level(context, number, plan, level):
    *_, result = run_trial(number, plan, context, level)
    return result


def test_a_model_that_needs_no_training_is_complete_at_once(leveled):
    result = read_level(leveled, 81, Plan.of({}, QuantizationChoice.INT8_PTQ), 0)
    assert (result.state, result.fidelity) == ("COMPLETE", 1.0)


def test_every_plan_has_the_same_compute(context):
    narrow = Plan.of(HALF, QuantizationChoice.FLOAT)
    assert context.cost(Plan()) == 1
    assert FIXED_COST < context.cost(narrow) < 0.6
    steps = [
        context.trainer(context.task.build_model(), plan=p, samples=3200, seed=0).steps
        for p in (Plan(), narrow)
    ]
    assert steps[0] / steps[1] == pytest.approx(context.cost(narrow, taught=True), rel=0.02)


def test_unpruned_float_plan_is_the_baseline(context):
    *_, result = run_trial(20, Plan(), context)
    assert result.metric == context.baseline.metric
    assert result.metric_loss == result.standard_error == 0
    assert result.measurements[0].train_loss is None


def test_same_plan_has_the_same_result_and_its_latency_is_reused(context):
    plan = Plan.of(HALF, QuantizationChoice.INT8_PTQ)
    *_, first = run_trial(30, plan, context)
    *_, second = run_trial(31, plan, context)
    assert first.metric == second.metric
    assert first.latency_ratio == second.latency_ratio
    assert all(reading.reused for reading in second.readings)


def test_metric_that_is_not_a_number_fails_the_trial(context, monkeypatch):
    monkeypatch.setattr(
        type(context.task.metric), "aggregate", lambda self, statistics: float("nan")
    )
    with pytest.raises(TrialError, match="top1_accuracy on val is nan"):
        list(run_trial(40, Plan(), context))


def test_nothing_is_trained_before_the_shape_is_timed(context, monkeypatch):
    def never(self, steps):
        raise AssertionError("trained")

    monkeypatch.setattr("trainables.training.Trainer.run", never)
    first = next(run_trial(50, Plan.of(HALF, QuantizationChoice.FLOAT), context))
    assert first.latency_ratio is not None


def test_the_baseline_knows_its_layers_and_what_narrows_them(context):
    layers = {layer.name: layer for layer in context.baseline.layers}
    assert list(layers) == ["conv1", "conv2", "head"]
    assert layers["conv1"].multiply_adds == 14 * 14 * 9 * 16
    assert layers["conv2"].multiply_adds == 7 * 7 * 9 * 16 * 32
    assert layers["conv2"].inputs == layers["conv1"].outputs == {"conv1.weight": 1.0}
    assert layers["head"].inputs == layers["conv2"].outputs == {"conv2.weight": 1.0}
