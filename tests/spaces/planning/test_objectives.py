"""The planner minimizes what it is told to, and proposes nothing above the bounds."""

from random import Random

import numpy as np
import pytest

from spaces.goal import Goal
from spaces.layers import ratio_matrix
from spaces.planning.cost_model import size_model
from spaces.planning.known import Known
from tests.spaces.planning.problems import PROBLEMS, each_problem, planner_of

# Bytes of the unpruned export: most are weights, as in the problems of `Tabulated`.
WHOLE = 8_000_000


def size_of(problem, plan):
    """Return a plan's size ratio, the model's own before any trial."""
    ratios = ratio_matrix(problem.space.groups, [plan])
    quantized = plan.quantization.precision == "int8"
    model = size_model(problem.costs, WHOLE, quantized, ratios[:0], np.zeros(0))
    return float(model.predict(ratios)[0])


def multiply_adds_of(problem, plan):
    return float(problem.costs.multiply_adds(ratio_matrix(problem.space.groups, [plan]))[0])


def searched(problem, goal, trials=12):
    """Return what a search by the planner alone has measured."""
    rng = Random(0)
    planner = planner_of(problem, goal=goal)
    plans, known = list(planner.warm_starts()), []
    for turn in range(trials):
        plan = plans.pop(0) if plans else None
        tried = {one.plan for one in known}
        plan = plan or planner.propose(turn, tried.__contains__, rng)
        if plan is None:
            break
        result = problem.evaluate(plan)
        known.append(
            Known(
                plan,
                result.metric_loss,
                result.latency_ratio,
                size_ratio=size_of(problem, plan),
                multiply_adds=multiply_adds_of(problem, plan),
            )
        )
        planner.learn(known[-1:])
    return known


def best(problem, known, figure):
    return min(getattr(one, figure) for one in known if one.metric_loss <= problem.budget)


@each_problem
@pytest.mark.parametrize("objective", ["size", "multiply_adds"])
def test_another_objective_is_served_better_than_by_the_least_latency(problem, objective):
    figure = {"size": "size_ratio", "multiply_adds": "multiply_adds"}[objective]
    aimed = searched(problem, Goal(objective, baseline_bytes=WHOLE))
    fast = searched(problem, Goal(baseline_bytes=WHOLE))
    # Losses are noisy, and the tries are few.
    assert best(problem, aimed, figure) <= 1.05 * best(problem, fast, figure)
    assert best(problem, aimed, figure) < 0.5


@each_problem
def test_the_smallest_model_within_a_latency_is_searched_below_it(problem):
    free = searched(problem, Goal("size", baseline_bytes=WHOLE))
    smallest = min(
        (one for one in free if one.metric_loss <= problem.budget), key=lambda one: one.size_ratio
    )
    bound = 0.9 * smallest.latency_ratio
    bounded = searched(problem, Goal("size", max_latency=bound, baseline_bytes=WHOLE))
    fast = [one.latency_ratio <= bound for one in bounded]
    assert np.mean(fast) > 0.6, "predictions have errors, but most plans keep the bound"
    kept = [one for one in bounded if one.latency_ratio <= bound]
    assert best(problem, kept, "size_ratio") < 1.0


def test_plans_above_a_bound_on_size_are_not_proposed():
    problem = PROBLEMS[0]
    bound = 0.1
    free = searched(problem, Goal(baseline_bytes=WHOLE))
    assert any(one.size_ratio > bound for one in free)
    known = searched(problem, Goal(max_size=bound, baseline_bytes=WHOLE))
    assert known and all(one.size_ratio <= bound for one in known)


def test_a_bound_that_no_plan_keeps_leaves_the_first_plans():
    problem = PROBLEMS[0]
    known = searched(problem, Goal(max_latency=0.001, baseline_bytes=WHOLE))
    assert 0 < len(known) < 12, "the first plans are tried, and nothing is proposed after them"


def cost_of(problem, quantity, plan):
    return problem.timing(plan) if quantity == "latency" else size_of(problem, plan)


@each_problem
@pytest.mark.parametrize("quantity, name", [("latency", "max_latency"), ("size", "max_size")])
def test_a_plan_exceeds_a_bound_by_more_than_the_predictions_error(problem, quantity, name):
    plan = problem.space.random(Random(3))
    true = cost_of(problem, quantity, plan)
    for share, exceeds in ((0.4, True), (0.995, False), (1.3, False)):
        planner = planner_of(problem, goal=Goal(baseline_bytes=WHOLE, **{name: share * true}))
        found = planner.exceeded(plan)
        assert list(found) == [quantity] * exceeds, share
        assert all(over == pytest.approx(0.6 * true, rel=0.3) for over in found.values())


@each_problem
def test_a_bound_that_no_plan_can_keep_is_known_with_what_is_reachable(problem):
    space = problem.space
    fastest = min(problem.timing(space.floor(choice)) for choice in space.choices)
    within = Goal(max_latency=1.02 * fastest, max_size=0.5, baseline_bytes=WHOLE)
    assert planner_of(problem, goal=within).unreachable() is None
    assert planner_of(problem, goal=Goal(baseline_bytes=WHOLE)).unreachable() is None
    beyond = Goal(max_latency=0.5 * fastest, max_size=0.5, baseline_bytes=WHOLE)
    quantity, least = planner_of(problem, goal=beyond).unreachable()
    assert quantity == "latency" and least == pytest.approx(fastest, rel=0.2)
    tiny = Goal(max_latency=1.0, max_size=1e-6, baseline_bytes=WHOLE)
    assert planner_of(problem, goal=tiny).unreachable()[0] == "size"
