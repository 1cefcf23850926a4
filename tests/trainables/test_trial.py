"""One trial on the tiny task, without Ray."""

import json
from dataclasses import replace

import pytest

from spaces.errors import TrialError
from spaces.plan import Plan, QuantizationChoice
from tests.support import QUICK
from tests.tiny.mine import Mine
from trainables.baseline import Baseline, measure_baseline
from trainables.context import TrialContext
from trainables.engine import Engine, supports_bfloat16
from trainables.evaluation import evaluate
from trainables.jobs import latency_job
from trainables.latency import QUICK as QUICK_EFFORT
from trainables.latency import LatencyReading, NoLease
from trainables.settings import TrialSettings
from trainables.trial import WEIGHTS, run_trial, time_shape
from trainables.weights import read_weights

HALF = {"conv1.weight": 0.5, "conv2.weight": 0.5}
FLOAT = QuantizationChoice.FLOAT
TASK = "tests.tiny.mine:make_task"


@pytest.fixture(scope="module")
def context(tiny_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = TrialSettings(
        TASK,
        str(folder),
        str(folder / "cache"),
        task_options={"weights": str(tiny_weights)},
        finetune_samples=QUICK["finetune_samples"],
        qat_samples=QUICK["qat_samples"],
        latency_batch=32,
    )
    baseline = measure_baseline(Mine(tiny_weights), settings)
    assert Baseline.from_json(baseline.to_json()) == baseline
    return TrialContext(settings, baseline, NoLease())


@pytest.mark.parametrize("choice", QuantizationChoice)
def test_pruned_trial_goes_through_every_stage(choice, context):
    if choice is QuantizationChoice.BFLOAT16 and not supports_bfloat16():
        pytest.skip("this processor has no bfloat16")
    number, plan = list(QuantizationChoice).index(choice), Plan.of(HALF, choice)
    states = []
    for result in run_trial(number, plan, context):
        states.append((result.state, len(result.measurements)))
    assert states == [("RUNNING", 0), ("RUNNING", 1), ("COMPLETE", 2)]
    assert [m.fidelity for m in result.measurements][-1] == 1.0
    assert result.measurements[0].fidelity < 1.0
    assert result.metric_loss == result.measurements[-1].metric_loss
    assert result.latency_ratio > 0
    assert result.size_bytes < context.baseline.size_bytes
    assert [reading["stage"] for reading in result.readings] == ["shape", "export"]
    folder = context.settings.candidate_folder(number)
    assert read_weights(folder / WEIGHTS)["conv1.weight"].shape[0] == 8
    # The metric is the exported model's own.
    engine = Engine(folder, choice.precision, 1)
    again = context.task.metric.aggregate(evaluate(engine.run, context.task, "val", 100))
    assert again == result.metric


def test_unpruned_float_plan_is_the_baseline(context):
    *_, result = run_trial(20, Plan(), context)
    assert result.metric == context.baseline.metric
    assert result.metric_loss == result.standard_error == 0
    assert result.measurements[0].train_loss is None


def test_same_plan_has_the_same_result_and_its_latency_is_known(context):
    plan = Plan.of(HALF, QuantizationChoice.INT8_PTQ)
    *_, first = run_trial(30, plan, context)
    *_, second = run_trial(31, plan, context)
    assert first.metric == second.metric
    assert first.latency_ratio == second.latency_ratio
    assert all(reading["reused"] for reading in second.readings)


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


def test_a_shape_that_was_timed_before_the_search_is_known_to_the_trial(context):
    plan = Plan.of({"conv2.weight": 0.25}, QuantizationChoice.INT8_PTQ)
    reading, reused = time_shape(plan, context)
    assert not reused
    assert reading.ratio > 0
    assert reading.batch_size == context.settings.latency_batch
    first = next(run_trial(60, plan, context))
    assert first.readings == [{"stage": "shape", "reused": True, **reading.to_json()}]
    assert first.latency_ratio == reading.ratio
    assert time_shape(plan, context) == (reading, True)


def test_timing_shapes_leaves_the_others_to_be_timed_where_one_cannot_be(context):
    plans = [
        Plan.of({"conv1.weight": 0.5}, QuantizationChoice.FLOAT),
        Plan.of({"conv9.weight": 0.5}, QuantizationChoice.FLOAT),
        Plan.of({"conv1.weight": 0.5}, QuantizationChoice.INT8_PTQ),
    ]
    rows = latency_job(
        context.settings,
        json.loads(json.dumps(context.baseline.to_json())),
        NoLease(),
        [plan.to_json() for plan in plans],
    )
    assert [Plan.from_json(row["plan"]) for row in rows] == plans
    assert ["reason" in row for row in rows] == [False, True, False]
    assert "conv9.weight" in rows[1]["reason"]
    assert "\n" not in rows[1]["reason"]
    assert all(rows[index]["ratio"] > 0 and not rows[index]["reused"] for index in (0, 2))
    again = latency_job(
        context.settings, context.baseline.to_json(), NoLease(), [plans[0].to_json()]
    )
    assert again == [{**rows[0], "reused": True}]


def test_a_baseline_seen_faster_than_known_is_known_to_all_probes_after(context, monkeypatch):
    asked = []

    def timed(candidate, baseline, inputs, lease, *, threads, effort, baseline_ms):
        asked.append(baseline_ms)
        seen = context.baseline.latency_ms / 2
        return LatencyReading(1.0, seen, 1.0 / seen, 0.0, 5, 5, len(inputs[0]), threads)

    monkeypatch.setattr("trainables.context.time_in_turn", timed)
    # A folder of its own: the floor would stay halved for the tests after this.
    settings = replace(context.settings, cache_folder=f"{context.settings.cache_folder}-faster")
    fresh = TrialContext(settings, context.baseline, NoLease())
    for ratio in (0.25, 0.5):
        fresh.probe("shape", Plan.of({"conv2.weight": ratio}, FLOAT), QUICK_EFFORT, lambda: None)
    assert asked == [context.baseline.latency_ms, context.baseline.latency_ms / 2]


def test_the_baseline_knows_its_layers_and_what_narrows_them(context):
    layers = {layer.name: layer for layer in context.baseline.layers}
    assert list(layers) == ["conv1", "conv2", "head"]
    assert layers["conv1"].multiply_adds == 14 * 14 * 9 * 16
    assert layers["conv2"].multiply_adds == 7 * 7 * 9 * 16 * 32
    assert layers["conv2"].inputs == layers["conv1"].outputs == {"conv1.weight": 1.0}
    assert layers["head"].inputs == layers["conv2"].outputs == {"conv2.weight": 1.0}
