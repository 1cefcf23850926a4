"""What of the surveys needs no cluster: which ratios and shapes are measured, and resuming."""

from itertools import chain

import pytest

from search.config import RunConfig
from search.context import StudyContext
from search.progress import Display
from search.run_folder import RunFolder
from search.surveys import (
    close_graphs,
    in_parts,
    reference_plans,
    reference_timings,
    sensitivity_ratios,
    shapes_to_time,
    study_latency,
    study_references,
    study_sensitivity,
    timing_options,
)
from spaces.errors import StudyError
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from tests.search.made_run import baseline
from trainables.results import Reference, Untimed

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
GROUPS = (PruningGroup("a", 64), PruningGroup("b", 32), PruningGroup("c", 20))
SPACE = Space(GROUPS, (FLOAT, PTQ))


@pytest.mark.parametrize(
    ("channels", "points", "ratios"),
    [
        (32, 6, [0.25, 0.5, 0.75]),
        (64, 7, [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]),
        (64, 3, [0.125, 0.5, 0.875]),
        (64, 2, [0.125, 0.875]),
        # 16 and 8 of 20 are kept.
        (20, 6, [0.2, 0.6]),
        # A group that cannot be pruned has nothing to measure.
        (8, 6, []),
    ],
)
def test_sensitivity_is_measured_at_levels_of_the_group_ascending(channels, points, ratios):
    group = PruningGroup("g", channels)
    assert sensitivity_ratios(Space((group,)), group, points) == pytest.approx(ratios)


def test_no_ratio_is_beyond_the_spaces_greatest():
    group = PruningGroup("g", 64)
    assert sensitivity_ratios(Space((group,), max_ratio=0.5), group, 9) == [0.125, 0.25, 0.375, 0.5]


@pytest.mark.parametrize("seed", range(5))
def test_shapes_are_plans_of_the_space_in_one_graph_and_none_comes_twice(seed):
    shapes = shapes_to_time(SPACE, PTQ, 12, seed)
    assert len(set(shapes)) == len(shapes) <= 12
    assert len(shapes) > 8
    assert all(SPACE.snap(plan) == plan for plan in shapes)
    assert {plan.quantization for plan in shapes} == {PTQ}
    assert shapes[0] == Plan.of({}, PTQ)


def test_shapes_show_every_group_wide_and_narrow_and_apart_from_the_others():
    shapes = shapes_to_time(SPACE, FLOAT, 12, 0)
    for group in GROUPS:
        ratios = [plan.ratio(group.name) for plan in shapes]
        assert min(ratios) == 0
        assert max(ratios) >= 0.6
    assert len({round(plan.ratio("a") - plan.ratio("b"), 3) for plan in shapes}) > 3


def test_shapes_go_with_the_seed():
    assert shapes_to_time(SPACE, FLOAT, 12, 0) == shapes_to_time(SPACE, FLOAT, 12, 0)
    assert shapes_to_time(SPACE, FLOAT, 12, 0) != shapes_to_time(SPACE, FLOAT, 12, 1)


def test_a_space_of_few_plans_has_few_shapes():
    narrow = Space((PruningGroup("a", 16),), (FLOAT,))
    assert set(shapes_to_time(narrow, FLOAT, 12, 0)) == {
        Plan.of({}, FLOAT),
        Plan.of({"a": 0.5}, FLOAT),
    }


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(RunConfig(budget=0.1, out=str(tmp_path / "run")))
    yield folder
    folder.release()


def survey(study, run, space=SPACE, display=None):
    """Run a survey that has been done: nothing is given to it that it could do it with."""
    context = StudyContext(RunConfig(budget=0.1), run, None, None, None, None, display)
    return study(context, baseline(), space)


def test_a_resumed_run_has_the_timings_it_found(run):
    plans = [Plan.of({}, FLOAT), Plan.of({"a": 0.5, "b": 0.25}, PTQ)]
    run.finish_stage("latency", [(plans[0], 1.0), (plans[1], 0.25)])
    assert survey(study_latency, run) == [(plans[0], 1.0), (plans[1], 0.25)]


def test_a_resumed_run_that_could_time_nothing_does_not_try_again(run):
    run.finish_stage("latency", [])
    assert survey(study_latency, run) == []


def test_a_resumed_run_has_the_references_it_found(run):
    reference = Reference(Plan.of({"a": 0.5}, PTQ), 0.25)
    run.finish_stage("references", [reference])
    assert survey(study_references, run) == (baseline(references=(reference,)), SPACE)


def references_of(choices, untimed):
    """Return a space's references, of which those in some graphs could not be timed."""
    plans = reference_plans(Space(GROUPS, choices))
    return [
        Untimed(plan, "TrialError: no such operator")
        if plan.quantization in untimed
        else Reference(plan, 0.5)
        for plan in plans
    ]


def test_a_choice_that_nothing_could_be_timed_in_leaves_the_space(run, capsys):
    both = (QuantizationChoice.INT8_QAT, QuantizationChoice.INT8_QAT_PACT)
    space = Space(GROUPS, (FLOAT, PTQ, *both))
    rows = references_of(space.choices, untimed=both[:1])
    run.finish_stage("references", rows)
    found, kept = survey(study_references, run, space, Display())
    # Clipping is gone from the graph: it fails as the other training does.
    assert kept == SPACE
    assert len(found.references) == 5
    assert all(isinstance(reference, Reference) for reference in found.references)
    assert "left out: int8_qat, int8_qat_pact: no model" in capsys.readouterr().out


def test_a_choice_that_one_model_could_be_timed_in_stays(run):
    rows = references_of(SPACE.choices, untimed=(PTQ,))
    rows[-1] = Reference(rows[-1].plan, 0.2)
    run.finish_stage("references", rows)
    found, kept = survey(study_references, run)
    assert kept == SPACE
    assert len(found.references) == 3


def test_float_stays_whatever_could_not_be_timed(run):
    run.finish_stage("references", references_of(SPACE.choices, untimed=(FLOAT, PTQ)))
    assert survey(study_references, run, display=Display())[1] == Space(GROUPS, (FLOAT,))


def test_a_space_without_a_choice_that_runs_ends_the_study_with_the_reason(run):
    run.finish_stage("references", references_of((PTQ,), untimed=(PTQ,)))
    with pytest.raises(StudyError, match=r"int8_ptq: no model .* no such operator; mend"):
        survey(study_references, run, Space(GROUPS, (PTQ,)))


def test_a_process_that_timed_large_models_is_not_used_again(run):
    context = StudyContext(RunConfig(budget=0.1), run, None, None, None, None, None)
    small, large = (baseline(size_bytes=size) for size in (3_000_000, 97_000_000))
    assert timing_options(context, large, 2)["max_calls"] == 1
    assert timing_options(context, small, 2) == context.placement(timed=True, cpus=2)


def test_references_are_wide_and_narrow_in_every_graph_but_the_baseline():
    choice = QuantizationChoice
    space = Space(GROUPS, (FLOAT, PTQ, choice.INT8_QAT, choice.INT8_QAT_PACT))
    plans = reference_plans(space)
    # Both ways of training give one graph.
    assert [(p.quantization, p.is_pruned) for p in plans] == [
        *[(FLOAT, True)] * 2,
        *[(graph, pruned) for graph in (PTQ, choice.INT8_QAT) for pruned in (False, True, True)],
    ]
    assert len(set(plans)) == len(plans)
    assert all(space.snap(plan) == plan for plan in plans)


def test_what_references_take_is_known_without_timing():
    half = Plan.of({"a": 0.5}, PTQ)
    found = baseline(references=(Reference(half, 0.25),))
    assert reference_timings(found, SPACE) == [(half, 0.25), (Plan(), 1.0)]
    assert reference_timings(found, Space(GROUPS, (PTQ,))) == [(half, 0.25)]
    assert close_graphs([]) == []


def test_groups_are_measured_in_parts_that_hold_each_once():
    names = [f"group {number}" for number in range(20)]
    parts = in_parts(names, 2)
    assert len(parts) == 6 and sorted(chain(*parts.values())) == sorted(names)
    assert max(map(len, parts.values())) - min(map(len, parts.values())) <= 1
    assert in_parts(names[:2], 8) == {names[0]: names[:1], names[1]: names[1:2]}
    # A head alone in a cluster may have no core of its own.
    assert in_parts(names, 0) == {names[0]: names} and in_parts([], 2) == {}


def test_a_resumed_run_has_the_curves_it_found(run):
    run.finish_stage("sensitivity", {"a": [(0.5, 0.1), (0.75, 0.4)], "b": []})
    assert survey(study_sensitivity, run) == {"a": [(0.5, 0.1), (0.75, 0.4)], "b": []}


def test_graphs_nearly_as_fast_as_the_fastest_are_close():
    choice = QuantizationChoice
    timings = [
        (Plan.of({}, choice.FLOAT), 1.0),
        (Plan.of({"a": 0.5}, choice.FLOAT), 0.4),
        (Plan.of({}, choice.BFLOAT16), 0.3),
        (Plan.of({"a": 0.5}, choice.BFLOAT16), 0.125),
        (Plan.of({}, choice.INT8_PTQ), 0.2),
        (Plan.of({"a": 0.5}, choice.INT8_PTQ), 0.1),
    ]
    assert close_graphs(timings) == [choice.INT8_PTQ, choice.BFLOAT16]
    assert close_graphs(timings[:2]) == [choice.FLOAT]
