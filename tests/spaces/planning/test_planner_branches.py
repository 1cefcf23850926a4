"""The planner on a tabulated problem whose branches can be removed."""

from random import Random

import numpy as np
import pytest

from spaces.layers import ratio_matrix
from spaces.plan import Plan
from spaces.planning.known import Known
from tests.spaces.planning.branched import Branched
from tests.spaces.planning.problems import PTQ, planner_of

PROBLEM = Branched(2)
BRANCHES = {group.name for group in PROBLEM.space.groups if group.is_branch}
TRIALS = 16


def searched(problem):
    """Return a planner that has learned from a search, and the plans that it tried."""
    planner, rng, tried = planner_of(problem), Random(0), {}
    first = planner.warm_starts()
    for turn in range(TRIALS):
        plan = first.pop(0) if first else planner.propose(turn, tried.__contains__, rng)
        assert plan is not None and plan not in tried
        assert problem.space.snap(plan) == plan
        found = problem.evaluate(plan)
        tried[plan] = Known(plan, found.metric_loss, found.latency_ratio)
        planner.learn([tried[plan]])
    return planner, tried


@pytest.fixture(scope="module")
def search():
    return searched(PROBLEM)


def fastest(problem, plans):
    return min(
        problem.true_latency(plan) for plan in plans if problem.true_loss(plan) <= problem.budget
    )


def removed(plan):
    return {name for name, ratio in plan.ratios if ratio == 1.0}


def test_a_search_that_may_remove_branches_finds_faster_plans(search):
    _, plans = search
    _, others = searched(PROBLEM.without())
    assert fastest(PROBLEM, plans) < 0.9 * fastest(PROBLEM, others)
    assert any(removed(plan) for plan in plans)
    assert len({frozenset(removed(plan)) for plan in plans}) >= 3, "several sets of branches"


def test_latency_is_predicted_with_branches_removed(search):
    planner, _ = search
    rng = Random(1)
    plans = [plan for plan in (PROBLEM.space.random(rng) for _ in range(60)) if removed(plan)]
    _, found = planner.predict(plans)
    truth = np.array([PROBLEM.true_latency(plan) for plan in plans])
    near = [index for index, plan in enumerate(plans) if plan.quantization is PTQ]
    assert len(near) > 5
    # Two choices share twelve timings, so that this one has six; test_latency_model.py has twelve.
    assert np.median(np.abs(found / truth - 1)[near]) < 0.1


def test_neighbours_remove_and_restore_branches(search):
    planner, tried = search
    kept = [known for known in tried.values() if known.metric_loss <= PROBLEM.budget]
    parents = [plan for plan in tried if tried[plan] in kept and removed(plan)]
    proposals = planner.proposals()
    space, levels = PROBLEM.space, proposals.fastest.levels
    start = proposals.fastest.restorable(ratio_matrix(space.groups, parents[:1])[0], PTQ)
    assert proposals.fastest.plan(start, PTQ).ratios == parents[0].ratios
    gone, back = set(), []
    for seed in range(200):
        moved = proposals._moved(start, Random(seed))
        assert all(np.abs(level - r).min() < 1e-9 for level, r in zip(levels, moved, strict=True))
        plan = proposals.fastest.plan(moved, PTQ)
        gone |= removed(plan) - removed(parents[0])
        restored = removed(parents[0]) - removed(plan)
        back += [plan.ratio(f"{name}.conv1.weight") for name in restored]
    assert gone == BRANCHES - removed(parents[0])
    assert back and np.mean(np.array(back) > 0) > 0.5, "mostly with pruned groups"


def test_a_floor_without_branches_decides_what_is_reachable(search):
    planner, _ = search
    floor = PROBLEM.space.floor(PTQ)
    assert removed(floor) == BRANCHES
    narrow = {g.name: PROBLEM.space.most_pruned(g) for g in PROBLEM.space.groups}
    with_branches = Plan.of({n: r for n, r in narrow.items() if n not in BRANCHES}, PTQ)
    _, (least, more) = planner.predict([floor, with_branches])
    assert least < more
