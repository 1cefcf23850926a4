"""Which ratios, shapes and references are measured."""

import numpy as np
import pytest

from spaces.measurements import (
    fast_choices,
    reference_plans,
    removed_branches,
    sensitivity_ratios,
    timing_plans,
    timing_ratios,
)
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from tests.spaces.networks import residual

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
def test_shapes_are_plans_of_the_space_in_one_choice_and_none_comes_twice(seed):
    shapes = timing_plans(SPACE, PTQ, 12, seed)
    assert len(set(shapes)) == len(shapes) <= 12
    assert len(shapes) > 8
    assert all(SPACE.snap(plan) == plan for plan in shapes)
    assert {plan.quantization for plan in shapes} == {PTQ}
    assert shapes[0] == Plan.of({}, PTQ)


def test_shapes_show_every_group_wide_and_narrow_and_apart_from_the_others():
    shapes = timing_plans(SPACE, FLOAT, 12, 0)
    for group in GROUPS:
        ratios = [plan.ratio(group.name) for plan in shapes]
        assert min(ratios) == 0
        assert max(ratios) >= 0.6
    assert len({round(plan.ratio("a") - plan.ratio("b"), 3) for plan in shapes}) > 3


def test_shapes_go_with_the_seed():
    assert timing_plans(SPACE, FLOAT, 12, 0) == timing_plans(SPACE, FLOAT, 12, 0)
    assert timing_plans(SPACE, FLOAT, 12, 0) != timing_plans(SPACE, FLOAT, 12, 1)


def test_a_space_of_few_plans_has_few_shapes():
    narrow = Space((PruningGroup("a", 16),), (FLOAT,))
    assert set(timing_plans(narrow, FLOAT, 12, 0)) == {
        Plan.of({}, FLOAT),
        Plan.of({"a": 0.5}, FLOAT),
    }


def test_references_are_wide_and_narrow_in_every_choice_but_the_baseline():
    choice = QuantizationChoice
    space = Space(GROUPS, (FLOAT, PTQ, choice.INT8_QAT, choice.INT8_QAT_PACT))
    plans = reference_plans(space)
    # Both ways of training export the same operators.
    assert [(p.quantization, p.is_pruned) for p in plans] == [
        *[(FLOAT, True)] * 2,
        *[
            (quantization, pruned)
            for quantization in (PTQ, choice.INT8_QAT)
            for pruned in (False, True, True)
        ],
    ]
    assert len(set(plans)) == len(plans)
    assert all(space.snap(plan) == plan for plan in plans)


def test_choices_nearly_as_fast_as_the_fastest_are_fast():
    choice = QuantizationChoice
    timings = [
        (Plan.of({}, choice.FLOAT), 1.0),
        (Plan.of({"a": 0.5}, choice.FLOAT), 0.4),
        (Plan.of({}, choice.BFLOAT16), 0.3),
        (Plan.of({"a": 0.5}, choice.BFLOAT16), 0.125),
        (Plan.of({}, choice.INT8_PTQ), 0.2),
        (Plan.of({"a": 0.5}, choice.INT8_PTQ), 0.1),
    ]
    assert fast_choices(timings) == [choice.INT8_PTQ, choice.BFLOAT16]
    assert fast_choices(timings[:2]) == [choice.FLOAT]
    assert fast_choices([]) == []


def test_timing_ratios_run_from_whole_to_most_pruned():
    ratios = timing_ratios(12, 5, 0.8, 0)
    assert ratios.shape == (12, 5)
    assert (ratios[0] == 0).all()
    assert ratios.min() >= 0
    assert ratios.max() <= 0.8
    means = ratios.mean(axis=1)
    assert means[-4:].min() > means[:4].max()


def test_timing_ratios_differ_between_groups_and_depend_on_the_seed():
    ratios = timing_ratios(12, 5, 0.8, 0)
    assert (np.ptp(ratios[1:], axis=1) > 0.1).all()
    assert (timing_ratios(12, 5, 0.8, 0) == ratios).all()
    assert (timing_ratios(12, 5, 0.8, 1) != ratios).any()


NESTED = Space(residual(6, 32, squeeze=True)[0], (FLOAT, PTQ))
BRANCHES = [group.name for group in NESTED.groups if group.is_branch]


def removed(plan):
    return [name for name, ratio in plan.ratios if ratio == 1.0]


def test_the_sensitivity_of_a_branch_is_one_point():
    assert sensitivity_ratios(NESTED, NESTED.groups[-1], 6) == [1.0]


def test_the_last_reference_of_every_choice_has_no_branches():
    plans = reference_plans(NESTED)
    assert [(p.quantization, len(removed(p))) for p in plans] == [
        *[(FLOAT, 0)] * 2,
        (FLOAT, 6),
        *[(PTQ, 0)] * 3,
        (PTQ, 6),
    ]
    narrow, last = plans[-2:]
    outside = [g.name for g in NESTED.groups if not (g.is_branch or g.inside)]
    assert [narrow.ratio(name) for name in outside] == [last.ratio(name) for name in outside]


@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_timed_plans_have_branches_removed(seed):
    plans = timing_plans(NESTED, FLOAT, 12, seed)
    assert [bool(removed(plan)) for plan in plans] == [False, True] * 6
    assert all(NESTED.snap(plan) == plan for plan in plans)
    for branch in BRANCHES:
        if not branch.endswith(".se"):
            assert 3 <= sum(branch in removed(plan) for plan in plans) <= 4
    assert timing_plans(NESTED, FLOAT, 12, seed) == plans


def test_one_branch_is_removed_in_every_second_plan_and_none_in_no_plan():
    assert removed_branches(6, 1, 0)[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert removed_branches(6, 0, 0).shape == (6, 0)
    assert removed_branches(1, 2, 0).sum() == 0
