"""Untrained models of the tiny task, timed."""

from dataclasses import replace

import pytest

from spaces.errors import TrialError
from spaces.plan import Plan, QuantizationChoice
from trainables.context import TrialContext
from trainables.files.codec import decode, encode
from trainables.files.node import Node
from trainables.jobs import export_job, latency_job, reference_job
from trainables.probe import Effort
from trainables.results import Baseline, Probe, Reference, TimedShape, Untimed
from trainables.shapes import export_references, shape_engine, time_references, time_shape
from trainables.trial import run_trial

HALF = {"conv1.weight": 0.5, "conv2.weight": 0.5}
FLOAT, PTQ, QAT = (
    QuantizationChoice.FLOAT,
    QuantizationChoice.INT8_PTQ,
    QuantizationChoice.INT8_QAT,
)


@pytest.fixture
def fresh(context, tmp_path):
    """A context with its own folders."""
    settings = context.settings.having(cache_folder=str(tmp_path / "cache"))
    return TrialContext(settings, context.baseline, Node())


def with_references(fresh, *references):
    baseline = replace(fresh.baseline, references=references)
    assert decode(Baseline, encode(Baseline, baseline)) == baseline
    return TrialContext(fresh.settings, baseline, Node())


def exported(plans, fresh):
    assert export_references(plans, fresh) == []
    return time_references(plans, fresh)


def test_references_are_timed_together_and_their_exports_stay(fresh):
    plans = [Plan.of(HALF, FLOAT), Plan.of({}, PTQ), Plan.of(HALF, QAT)]
    references = exported(plans, fresh)
    assert decode(list[Reference], encode(list[Reference], references)) == references
    assert [reference.plan for reference in references] == plans
    assert all(reference.latency_ratio > 0 for reference in references)
    able = with_references(fresh, *references)
    for choice in (FLOAT, PTQ, QAT):
        found = able.references(choice)
        assert [ratios for _, ratios in found][: len(found) - (choice is FLOAT)] == [
            (r.latency_ratio,) for r in references if r.plan.quantization is choice
        ]
        # The same engines the next time.
        assert able.references(choice) is found
    (_, half), (baseline, one) = able.references(FLOAT)
    assert baseline is able.baseline_engine
    assert one == [1.0]
    assert half == (references[0].latency_ratio,)


def test_a_later_study_reuses_the_ratios_and_has_its_own_exports(fresh, tmp_path):
    plans = [Plan.of(HALF, FLOAT)]
    arguments = fresh.baseline, Node(), plans
    assert export_job(fresh.settings, *arguments) == []
    first = reference_job(fresh.settings, *arguments)
    again = fresh.settings.having(run_folder=str(tmp_path / "later"))
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "baseline").symlink_to(fresh.settings.baseline_folder)
    assert export_job(again, *arguments) == []
    assert reference_job(again, *arguments) == first
    assert any(again.reference_folder(plans[0]).iterdir())
    # The batch and the effort are part of the key.
    for changed in ({"latency_batch": 8}, {"latency_effort": 0.5}):
        (other,) = reference_job(again.having(**changed), *arguments)
        assert other.latency_ratio != first[0].latency_ratio


def test_a_reference_that_fails_has_a_reason_and_the_others_are_timed(fresh):
    wrong = Plan.of({"conv9.weight": 0.5}, FLOAT)
    plans = [wrong, Plan.of(HALF, FLOAT)]
    (failed,) = export_references(plans, fresh)
    assert failed.plan == wrong and "conv9.weight" in failed.reason
    untimed, reference = time_references(plans, fresh)
    assert isinstance(untimed, Untimed) and untimed.plan == wrong
    assert isinstance(reference, Reference) and reference.latency_ratio > 0


def test_an_export_that_fails_late_leaves_nothing_to_time(fresh, monkeypatch):
    def differs(model, plan, context, folder):
        shape_engine(model, plan, context, folder)
        raise TrialError("the export differs")

    monkeypatch.setattr("trainables.shapes.shape_engine", differs)
    plan = Plan.of(HALF, FLOAT)
    assert export_references([plan], fresh) == [Untimed(plan, "TrialError: the export differs")]
    assert not fresh.settings.reference_folder(plan).exists()
    assert isinstance(*time_references([plan], fresh), Untimed)


def test_a_choice_without_references_is_timed_beside_the_baseline(fresh):
    assert fresh.references(PTQ) == [(fresh.baseline_engine, [1.0])]


def test_a_model_is_as_fast_as_the_reference_it_is(fresh):
    plan = Plan.of(HALF, PTQ)
    (reference,) = exported([plan], fresh)
    # A ratio that no noise gives: the reading is of the reference's, not of the milliseconds.
    able = with_references(fresh, replace(reference, by_size=(1e-3,)))
    ((engine, (ratio,)),) = able.references(PTQ)
    reading = able.time(engine, PTQ, Effort(200, 4.0))
    assert ratio / 3 < reading.ratio < 3 * ratio
    assert reading.latency_ms == pytest.approx(reading.ratio * able.baseline.latency_ms)


def test_a_shape_is_timed_again_beside_other_references(fresh):
    plan = Plan.of(HALF, PTQ)
    _, reused = time_shape(plan, fresh)
    assert not reused
    able = with_references(fresh, *exported([plan], fresh))
    _, reused = time_shape(plan, able)
    assert not reused


def test_a_trial_reuses_the_reading_of_a_shape_timed_before_the_search(fresh):
    plan = Plan.of({"conv2.weight": 0.25}, QuantizationChoice.INT8_PTQ)
    reading, reused = time_shape(plan, fresh)
    assert not reused
    assert reading.ratio > 0
    assert reading.batch_size == fresh.settings.latency_batch
    first = next(run_trial(60, plan, fresh))
    assert first.readings == [Probe("shape", True, reading)]
    assert first.latency_ratio == reading.ratio
    assert time_shape(plan, fresh) == (reading, True)
    longer = TrialContext(fresh.settings.having(latency_effort=0.5), fresh.baseline, Node())
    assert not time_shape(plan, longer)[1]


def test_a_shape_that_fails_does_not_keep_others_from_being_timed(fresh):
    plans = [
        Plan.of({"conv1.weight": 0.5}, QuantizationChoice.FLOAT),
        Plan.of({"conv9.weight": 0.5}, QuantizationChoice.FLOAT),
        Plan.of({"conv1.weight": 0.5}, QuantizationChoice.INT8_PTQ),
    ]
    found = latency_job(fresh.settings, fresh.baseline, Node(), plans)
    assert [item.plan for item in found] == plans
    assert [type(item) for item in found] == [TimedShape, Untimed, TimedShape]
    assert "conv9.weight" in found[1].reason
    assert "\n" not in found[1].reason
    assert all(found[index].reading.ratio > 0 and not found[index].reused for index in (0, 2))
    again = latency_job(fresh.settings, fresh.baseline, Node(), plans[:1])
    assert again == [replace(found[0], reused=True)]
