import pytest

from search.records.search_space import reference_timings
from search.stages.references import time_references
from spaces.errors import StudyError
from spaces.measurements import reference_plans
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from tests.search.made_run import baseline
from trainables.results import Reference, Untimed

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
GROUPS = (PruningGroup("a", 64), PruningGroup("b", 32), PruningGroup("c", 20))
SPACE = Space(GROUPS, (FLOAT, PTQ))


def test_a_resumed_run_has_the_references_it_found(run, survey):
    reference = Reference(Plan.of({"a": 0.5}, PTQ), 0.25)
    run.finish_stage("references", [reference])
    assert survey(time_references, SPACE) == (baseline(references=(reference,)), SPACE)


def references_of(choices, untimed):
    """Return a space's references, of which those in some choices could not be timed."""
    plans = reference_plans(Space(GROUPS, choices))
    return [
        Untimed(plan, "TrialError: no such operator")
        if plan.quantization in untimed
        else Reference(plan, 0.5)
        for plan in plans
    ]


def test_a_choice_that_nothing_could_be_timed_in_leaves_the_space(run, survey, capsys):
    both = (QuantizationChoice.INT8_QAT, QuantizationChoice.INT8_QAT_PACT)
    space = Space(GROUPS, (FLOAT, PTQ, *both))
    rows = references_of(space.choices, untimed=both[:1])
    run.finish_stage("references", rows)
    found, kept = survey(time_references, space)
    # PACT exports the same operators, so it fails as the other training does.
    assert kept == SPACE
    assert len(found.references) == 5
    assert all(isinstance(reference, Reference) for reference in found.references)
    assert "excluded: int8_qat, int8_qat_pact: no model" in capsys.readouterr().out


def test_a_choice_that_one_model_could_be_timed_in_stays(run, survey):
    rows = references_of(SPACE.choices, untimed=(PTQ,))
    rows[-1] = Reference(rows[-1].plan, 0.2)
    run.finish_stage("references", rows)
    found, kept = survey(time_references, SPACE)
    assert kept == SPACE
    assert len(found.references) == 3


def test_float_stays_whatever_could_not_be_timed(run, survey):
    run.finish_stage("references", references_of(SPACE.choices, untimed=(FLOAT, PTQ)))
    assert survey(time_references, SPACE)[1] == Space(GROUPS, (FLOAT,))


def test_a_space_without_a_choice_that_runs_ends_the_study_with_the_reason(run, survey):
    run.finish_stage("references", references_of((PTQ,), untimed=(PTQ,)))
    with pytest.raises(StudyError, match=r"int8_ptq: no model .* no such operator; repair"):
        survey(time_references, Space(GROUPS, (PTQ,)))


def test_what_references_take_is_known_without_timing():
    half = Plan.of({"a": 0.5}, PTQ)
    found = baseline(references=(Reference(half, 0.25),))
    assert reference_timings(found, SPACE) == [(half, 0.25), (Plan(), 1.0)]
    assert reference_timings(found, Space(GROUPS, (PTQ,))) == [(half, 0.25)]
