"""The planner with mixtures of INT8 and float, where INT8 in one layer loses everything."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from benchmarks.tabulated import Tabulated
from spaces.layers import LayerCosts, ratio_matrix
from spaces.mixing import Int8Costs, LayerCost
from spaces.plan import MixedInt8, Plan
from spaces.planning.latency_model import LatencyModel
from spaces.planning.planner import Planner
from tests.spaces.planning.problems import FLOAT, PTQ, tried

LOST, ADDED = 0.5, 0.03


class Hurt(Tabulated):
    """INT8 after training loses half of the metric, unless the third layer stays in float: then the
    unpruned model takes ADDED more."""

    def __post_init__(self):
        super().__post_init__()
        self.hurt = self.layers[2].name
        self.space = replace(self.space, choices=(FLOAT, PTQ))

    def true_loss(self, plan):
        hurt = plan.quantization is PTQ and self.hurt not in plan.float_layers
        return super().true_loss(plan) + LOST * hurt

    def true_latency(self, plan):
        work, _ = self.costs.remaining(ratio_matrix(self.space.groups, [plan]))
        floats = [layer.name in plan.float_layers for layer in self.layers]
        return super().true_latency(plan) + ADDED * float(work[0] @ floats)


def made(seed):
    """Return a problem, what INT8 costs there, and its planner."""
    problem = Hurt(seed)
    whole = problem.true_latency(Plan.of({}, PTQ))
    costs = [
        LayerCost(
            layer.name,
            metric_loss=0.0 if layer.name == problem.hurt else LOST,
            damage=0.3 if layer.name == problem.hurt else 0.001,
            latency_ratio=1 + ADDED / whole,
        )
        for layer in problem.layers
    ]
    int8 = Int8Costs(LOST, sum(cost.damage for cost in costs), whole, tuple(costs))
    problem.space = replace(problem.space, mixed=int8.mixtures(1.0))
    given = problem.setup(0)
    known = (given.space, given.layers, given.sensitivities, given.timings, given.budget)
    return problem, int8, Planner(*known, int8=int8)


def mixed(plan):
    return bool(plan.float_layers)


@pytest.mark.parametrize("seed", range(3))
def test_the_search_ends_with_a_mixture(seed):
    problem, _, planner = made(seed)
    plans = planner.warm_starts()
    # A search that is cut short has a plan within the budget.
    assert mixed(plans[0]) and not plans[0].is_pruned
    known = tried(problem, plans)
    planner.learn(known)
    rng = Random(0)
    for turn in range(12):
        plan = planner.propose(turn, set(plans).__contains__, rng)
        plans.append(plan)
        known += tried(problem, [plan])
        planner.learn(known[-1:])
    kept = [one for one in known if one.metric_loss <= problem.budget]
    best = min(kept, key=lambda one: one.latency_ratio)
    assert mixed(best.plan) and best.plan.is_pruned
    assert sum(map(mixed, plans)) > len(plans) / 2
    floats = [one.latency_ratio for one in kept if one.plan.quantization is FLOAT]
    assert not floats or best.latency_ratio < 0.8 * min(floats)


def test_losses_and_latencies_of_mixtures_are_predicted_before_any_trial():
    problem, int8, planner = made(0)
    plans = [Plan.of({}, one) for one in problem.space.precisions]
    losses, ratios = planner.predict(plans)
    predicted = dict(zip(plans, losses, strict=True))
    assert predicted[Plan.of({}, PTQ)] == pytest.approx(LOST)
    for one in problem.space.mixed:
        assert predicted[Plan.of({}, one)] == pytest.approx(LOST * int8.loss_left(one))
    true = [problem.true_latency(plan) for plan in plans]
    assert ratios == pytest.approx(true, rel=0.06)


def test_trials_of_a_mixture_correct_it():
    problem, _, planner = made(0)
    one = problem.space.mixed[0]
    plan = Plan.of({}, one)
    before = planner.predict([plan])[0][0]
    worse = [replace(known, metric_loss=0.04) for known in tried(problem, [plan])]
    planner.learn(worse)
    assert before < 0.02
    assert planner.predict([plan])[0][0] > 0.03


def test_a_trial_of_int8_throughout_tells_of_mixtures_what_they_have_in_common():
    problem, int8, planner = made(0)
    half = replace(
        int8, damage=0.2, layers=tuple(replace(cost, damage=0.1) for cost in int8.layers)
    )
    space = replace(problem.space, mixed=(MixedInt8((problem.hurt,)),))
    given = problem.setup(0)
    known = (given.layers, given.sensitivities, given.timings, given.budget)
    planner = Planner(space, *known, int8=replace(half, metric_loss=0.04))
    plan = Plan.of({}, space.mixed[0])
    before = planner.predict([plan])[0][0]
    harmless = [replace(found, metric_loss=0.0) for found in tried(problem, [Plan.of({}, PTQ)])]
    planner.learn(harmless)
    assert planner.predict([plan])[0][0] < 0.5 * before


def test_the_latency_of_a_mixture_follows_its_timings():
    problem = Hurt(0)
    costs = LayerCosts(problem.layers, problem.space.groups)
    rows = np.linspace(0, 0.8, 6)[:, None] * np.ones(len(problem.space.groups))
    whole = LatencyModel.fit(costs, rows, 0.1 + 0.3 * (1 - rows[:, 0]))
    added = np.zeros(len(problem.layers))
    added[2] = 0.05
    expected = whole.with_added(added, rows[:0], np.zeros(0))
    work, _ = costs.remaining(rows, whole.block)
    assert expected.predict(rows) == pytest.approx(whole.predict(rows) + 0.05 * work[:, 2])
    slower = 1.5 * expected.predict(rows)
    fitted = whole.with_added(added, rows[:3], slower[:3])
    assert fitted.predict(rows[:3]) == pytest.approx(slower[:3], rel=0.05)
