import pytest

from spaces.errors import ConfigError
from spaces.heuristics import (
    THRESHOLDS,
    equal_loss_threshold,
    flops_target,
    sensitive_throughout,
    threshold_ratio,
    uniform,
    warm_starts,
)
from spaces.layers import Layer, LayerCosts, ratio_matrix
from spaces.plan import ON_CPU, Plan, PruningGroup
from spaces.space import Space

FLOAT, BF16, PTQ, QAT, PACT = ON_CPU
GROUPS = (PruningGroup("robust", 64), PruningGroup("fragile", 64))
CURVES = {
    "robust": [(0.25, 0.0), (0.5, 0.01), (0.75, 0.03), (0.875, 0.5)],
    "fragile": [(0.25, 0.2), (0.5, 0.4), (0.75, 0.6)],
}


def test_uniform_gives_every_group_the_same_ratio():
    assert uniform(Space(GROUPS), 0.5, PTQ) == Plan.of({"robust": 0.5, "fragile": 0.5}, PTQ)


def test_uniform_stays_in_the_space():
    # 0.3 of 64 leaves 44.8 channels, and the wider level is 48.
    assert uniform(Space(GROUPS), 0.3, FLOAT).ratio("robust") == 0.25


@pytest.mark.parametrize(
    ("threshold", "ratio"),
    [
        (0.01, 0.5),  # on a measured point
        (0.02, 0.625),  # half way between two of them
        (0.03, 0.75),
        (1.0, 0.875),  # no loss is beyond it: the last ratio measured
        (0.0, 0.25),
        (-0.1, 0.0),  # the first is beyond it
    ],
)
def test_threshold_ratio(threshold, ratio):
    assert threshold_ratio(CURVES["robust"], threshold) == pytest.approx(ratio)


def test_threshold_ratio_is_0_where_the_first_loss_is_beyond():
    """There is no interpolation below the first point."""
    assert threshold_ratio(CURVES["fragile"], 0.1) == 0.0


def test_threshold_ratio_ends_at_the_first_crossing():
    """A curve that falls below the threshold again, by chance, is not followed."""
    assert threshold_ratio([(0.25, 0.0), (0.5, 0.4), (0.75, 0.1)], 0.2) == pytest.approx(0.375)


def test_threshold_ratio_of_no_curve_is_0():
    assert threshold_ratio([], 0.5) == 0.0


def test_equal_loss_threshold_spares_the_fragile_group():
    plan = equal_loss_threshold(Space(GROUPS), CURVES, 0.03, PTQ)
    assert plan == Plan.of({"robust": 0.75}, PTQ)


def test_equal_loss_threshold_does_not_prune_a_group_that_was_not_measured():
    plan = equal_loss_threshold(Space(GROUPS), {"fragile": CURVES["fragile"]}, 0.4, FLOAT)
    assert plan == Plan.of({"fragile": 0.5}, FLOAT)


def test_warm_starts_are_the_unpruned_model_in_every_precision_and_thresholds_in_int8():
    space = Space(GROUPS, (FLOAT, BF16, PTQ, QAT))
    plans = warm_starts(space, CURVES, 0.03)
    assert plans[:4] == [Plan.of({}, choice) for choice in space.choices]
    expected = [equal_loss_threshold(space, CURVES, share * 0.03, PTQ) for share in THRESHOLDS]
    assert plans[4:] == list(dict.fromkeys(expected))
    assert Plan.of({"robust": 0.75}, PTQ) in plans


@pytest.mark.parametrize(
    ("choices", "preferred"),
    [((FLOAT, QAT, PACT), QAT), ((FLOAT, BF16), FLOAT), ((QAT, PTQ), PTQ)],
)
def test_thresholds_are_tried_in_the_precision_preferred(choices, preferred):
    pruned = [p for p in warm_starts(Space(GROUPS, choices), CURVES, 0.03) if p.is_pruned]
    assert {plan.quantization for plan in pruned} == {preferred}


@pytest.mark.parametrize("budget", [0.0, 0.001, 0.03, 0.1, 0.9])
def test_warm_starts_are_plans_of_the_space_and_none_comes_twice(budget):
    space = Space(GROUPS, (FLOAT, PTQ))
    plans = warm_starts(space, CURVES, budget)
    assert len(set(plans)) == len(plans)
    assert all(space.snap(plan) == plan for plan in plans)


def test_without_curves_only_the_unpruned_models_are_left():
    space = Space(GROUPS, (FLOAT, PTQ))
    assert warm_starts(space, {}, 0.1) == [Plan.of({}, FLOAT), Plan.of({}, PTQ)]


# Two layers of equal cost in a row, and one that is not pruned.
COSTS = LayerCosts(
    [
        Layer("one", 1000, 100, 64, 64, {"robust": 1.0}, {}),
        Layer("other", 1000, 100, 64, 64, {"fragile": 1.0}, {}),
        Layer("last", 500, 10, 10, 64, {}, {}),
    ],
    GROUPS,
)


def share_removed(plan):
    return 1 - COSTS.multiply_adds(ratio_matrix(GROUPS, [plan]))[0]


@pytest.mark.parametrize("removed", [0.1, 0.2, 0.3, 0.5, 0.6])
def test_a_flops_target_is_reached_and_no_step_beyond(removed):
    plan = flops_target(Space(GROUPS), COSTS, CURVES, removed, PTQ)
    # A level is an eighth of a group, and a group's layer two fifths of the arithmetic.
    assert removed <= share_removed(plan) <= removed + 0.4 / 8 + 1e-6
    assert plan.quantization is PTQ


def test_a_flops_target_takes_from_where_it_costs_least():
    plan = flops_target(Space(GROUPS), COSTS, CURVES, 0.3, FLOAT)
    assert plan.ratio("robust") == 0.75 and plan.ratio("fragile") == 0.0


def test_excluded_groups_are_not_pruned_for_a_flops_target():
    plan = flops_target(Space(GROUPS), COSTS, CURVES, 0.2, FLOAT, excluded=["robust"])
    assert plan.ratio("robust") == 0.0 and plan.ratio("fragile") >= 0.5


def test_nothing_is_removed_for_a_target_of_0():
    assert flops_target(Space(GROUPS), COSTS, CURVES, 0.0, FLOAT).ratio("fragile") == 0.0


def test_a_flops_target_out_of_reach_says_what_is_in_reach():
    with pytest.raises(ConfigError, match=r"0\.9 .* cannot be removed; .* hold 0\.65"):
        flops_target(Space(GROUPS), COSTS, CURVES, 0.9, FLOAT)


def test_groups_sensitive_throughout_lose_much_at_once():
    assert sensitive_throughout(CURVES) == {"fragile"}
    assert sensitive_throughout(CURVES, 0.3) == set()
    assert sensitive_throughout({"unmeasured": []}) == set()


NESTED = Space(
    (
        PruningGroup("block", 1, is_branch=True),
        PruningGroup("robust", 64, inside=("block",)),
        PruningGroup("fragile", 64),
    ),
    (FLOAT, PTQ),
)


def test_rules_of_other_tools_leave_branches_alone():
    curves = CURVES | {"block": [(1.0, 0.0)]}
    expected = Plan.of({"robust": 0.75}, PTQ)
    assert uniform(NESTED, 0.5, FLOAT) == uniform(Space(GROUPS), 0.5, FLOAT)
    assert equal_loss_threshold(NESTED, curves, 0.03, PTQ) == expected
    assert equal_loss_threshold(NESTED, curves, 0.03, PTQ, True) == Plan.of({"block": 1.0}, PTQ)
    costs = LayerCosts(COSTS.layers, NESTED.groups)
    assert flops_target(NESTED, costs, curves, 0.3, PTQ).ratio("block") == 0.0


def test_warm_starts_remove_branches_that_lose_no_more_than_the_threshold():
    curves = CURVES | {"block": [(1.0, 0.05)]}
    plans = warm_starts(NESTED, curves, 0.03)
    removed = [plan for plan in plans if plan.ratio("block") == 1.0]
    # Of the thresholds 0.015, 0.03, 0.06 and 0.12 two allow it.
    assert removed == [Plan.of({"block": 1.0}, PTQ)]
    assert Plan.of({"robust": 0.75}, PTQ) in plans
    assert all(NESTED.snap(plan) == plan for plan in plans)
