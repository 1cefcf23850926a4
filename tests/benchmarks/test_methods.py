"""All methods on tabulated problems: they run, stay within their count, and ours is best."""

import numpy as np
import pytest

from benchmarks.methods import METHODS, VARIANTS
from benchmarks.tabulated import Tabulated
from spaces.pareto import hypervolume

PROBLEMS = (0, 1)
COUNT = 16


def run(method, problem, count=COUNT):
    """Return the plans of a method and their results, `count` at most."""
    table = Tabulated(problem)
    evaluations = {**METHODS, **VARIANTS}[method](table.setup(0), count)
    done = []
    plan = next(evaluations)
    while True:
        done.append((plan, table.evaluate(plan)))
        try:
            plan = evaluations.send(done[-1][1])
        except StopIteration:
            return done


def figures(done, budget):
    """Return the best latency ratio within the budget, and the hypervolume."""
    points = np.array([[result.metric_loss, result.latency_ratio] for _, result in done])
    feasible = points[points[:, 0] <= budget]
    return min(feasible[:, 1], default=np.inf), hypervolume(feasible, (budget, 1.0))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", [*METHODS, *VARIANTS])
def test_a_method_yields_plans_of_its_groups_and_ends_within_the_count(method, problem):
    table = Tabulated(problem)
    names = {group.name for group in table.space.groups}
    done = run(method, problem)
    assert 0 < len(done) <= COUNT
    for plan, _ in done:
        assert {name for name, _ in plan.ratios} <= names
        assert plan.quantization in table.space.choices
        assert all(ratio <= 0.9 for _, ratio in plan.ratios)


@pytest.mark.parametrize("method", ["ours", "random", *VARIANTS])
def test_a_search_uses_its_whole_count_on_different_plans_of_the_space(method):
    space = Tabulated(0).space
    plans = [plan for plan, _ in run(method, 0)]
    assert len(plans) == len(set(plans)) == COUNT
    assert all(space.snap(plan) == plan for plan in plans)


@pytest.mark.parametrize("method", ["ours", "plain Optuna", "random"])
def test_the_same_seed_gives_the_same_plans(method):
    assert run(method, 0) == run(method, 0)


@pytest.mark.parametrize("method", VARIANTS)
def test_a_variant_chooses_other_plans_than_the_whole_search(method):
    assert run(method, 0) != run("ours", 0)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ours_is_better_than_plain_optuna(problem):
    budget = Tabulated(problem).budget
    best, volume = figures(run("ours", problem), budget)
    other_best, other_volume = figures(run("plain Optuna", problem), budget)
    assert best < other_best
    assert volume > other_volume


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ours_is_better_than_quantization_alone(problem):
    """Quantization alone needs no search."""
    budget = Tabulated(problem).budget
    best, _ = figures(run("ours", problem), budget)
    alone, _ = figures(run("INT8 alone", problem), budget)
    assert best < 0.8 * alone
