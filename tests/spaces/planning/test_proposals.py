"""Proposals from finished trials."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from spaces.layers import ratio_matrix
from spaces.pareto import hypervolume
from spaces.plan import Plan
from spaces.planning.known import Known
from spaces.planning.settings import DEFAULT_SETTINGS, ProposalKind, ProposalSettings
from tests.spaces.planning.problems import (
    PROBLEMS,
    PTQ,
    at,
    each_problem,
    experienced,
    planner_of,
)

PARENTS = DEFAULT_SETTINGS.proposals.parents


def error_of(planner):
    return planner.fastest().models.loss_error


@each_problem
def test_a_neighbour_is_untried_and_promises_to_be_faster_than_the_fastest(problem):
    planner, known = experienced(problem)
    seen = {trial.plan for trial in known}
    feasible = [trial for trial in known if trial.metric_loss <= problem.budget]
    parents = sorted(feasible, key=lambda trial: trial.latency_ratio)[:PARENTS]
    assert len(parents) == PARENTS
    for seed in range(10):
        plan = planner.proposals().neighbour(seen.__contains__, Random(seed))
        if plan is None:
            assert seed > 2, "there is nothing faster near the fastest"
            break
        assert plan not in seen
        assert problem.space.snap(plan) == plan
        seen.add(plan)
        promises = []
        for parent in parents:
            if parent.plan.quantization is not plan.quantization:
                continue
            (_, _), (slow, fast) = planner.predict([parent.plan, plan])
            names = {name for p in (parent.plan, plan) for name, _ in p.ratios}
            moved = [name for name in names if plan.ratio(name) != parent.plan.ratio(name)]
            promises.append(
                parent.latency_ratio * fast / slow < parents[0].latency_ratio and len(moved) <= 3
            )
        assert any(promises)


def test_a_neighbour_moves_groups_by_a_level_or_two():
    problem = PROBLEMS[0]
    planner, known = experienced(problem)
    (start,) = ratio_matrix(problem.space.groups, [known[0].plan])
    proposals = planner.proposals()
    levels = proposals.fastest.levels
    for seed in range(30):
        moved = proposals._moved(start, Random(seed))
        steps = [
            abs(int(np.argmin(abs(level - moved[g]))) - int(np.argmin(abs(level - start[g]))))
            for g, level in enumerate(levels)
        ]
        assert max(steps) <= 2
        assert sum(step > 0 for step in steps) <= 3


def test_without_a_trial_within_the_budget_there_is_no_neighbour():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    assert planner.proposals().neighbour(lambda plan: False, Random(0)) is None
    planner.learn([Known(planner.within(*at(0.5)), 2 * problem.budget, 0.1)])
    assert planner.proposals().neighbour(lambda plan: False, Random(0)) is None


@each_problem
def test_filling_adds_predicted_hypervolume_the_most_first(problem):
    planner, known = experienced(problem)
    reference = (problem.budget, 1.0)
    feasible = [t for t in known if t.metric_loss <= problem.budget]
    front = np.array([[t.metric_loss, t.latency_ratio] for t in feasible])

    def gain(plan):
        (loss,), (latency,) = planner.predict([plan])
        more = np.vstack([front, [[max(loss, 0), latency]]])
        return hypervolume(more, reference) - hypervolume(front, reference)

    seen = {trial.plan for trial in known}
    plan = planner.proposals().filling(seen.__contains__)
    assert plan not in seen
    assert problem.space.snap(plan) == plan
    assert gain(plan) > 0
    following = planner.proposals().filling({*seen, plan}.__contains__)
    assert following != plan
    assert gain(following) <= gain(plan) + 1e-12


def test_filling_ends_where_nothing_promises_more():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    assert planner.proposals().filling(lambda plan: False) is not None
    assert planner.proposals().filling(lambda plan: True) is None
    planner.learn([Known(Plan.of({}, PTQ), -0.5, 0.0001)])
    assert planner.proposals().filling(lambda plan: False) is None


@each_problem
def test_an_optimum_promises_the_most_of_the_fastest_plans_in_every_choice(problem):
    planner, known = experienced(problem)
    seen = {trial.plan for trial in known}
    best = min(t.latency_ratio for t in known if t.metric_loss <= problem.budget)
    first = planner.proposals().optimum(seen.__contains__)
    second = planner.proposals().optimum({*seen, first}.__contains__)
    assert len({first, second, *seen}) == len(seen) + 2
    for plan in (first, second):
        assert problem.space.snap(plan) == plan
        (loss,), (latency,) = planner.predict([plan])
        assert latency < best
        assert loss <= 1.1 * problem.budget
    promises = planner.proposals().promises(*planner.predict([first, second]), error_of(planner))
    assert np.diff(promises) <= 0


def test_a_promise_is_a_gain_times_the_chance_to_keep_the_budget():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    planner.learn([Known(Plan.of({}, PTQ), 0.0, 0.5)])
    losses = problem.budget * np.array([0.5, 1.0, 1.0, 1.5, 0.0])
    latencies = np.array([0.3, 0.3, 0.1, 0.1, 0.6])
    promise = planner.proposals().promises(losses, latencies, 0.1 * problem.budget)
    assert promise == pytest.approx([0.2, 0.1, 0.2, 0.0, 0.0], abs=1e-6)


def test_the_error_of_predicted_losses_is_that_of_trials_near_the_budget():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    unknowing = error_of(planner)
    assert unknowing == pytest.approx(0.3 * problem.budget)
    exact = [planner.within(*at(target)) for target in np.linspace(0.1, 0.5, 12)]
    losses = planner.predict(exact)[0]
    planner.learn([Known(p, float(v), 0.3) for p, v in zip(exact, losses, strict=True)])
    knowing = error_of(planner)
    assert 0.1 * problem.budget <= knowing < 0.6 * unknowing
    # A trial far beyond the budget does not count.
    planner.learn([Known(Plan.of({"conv0.weight": 0.5}, PTQ), 30 * problem.budget, 0.1)])
    assert error_of(planner) < 2 * knowing


def test_without_an_untried_or_faster_plan_there_is_no_optimum():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    assert planner.proposals().optimum(lambda plan: True) is None
    planner.learn([Known(Plan.of({}, PTQ), 0.0, 0.0001)])
    assert planner.proposals().optimum(lambda plan: False) is None, "nothing promises to be faster"


def test_proposals_take_turns():
    planner, known = experienced(PROBLEMS[0])
    seen = {trial.plan for trial in known}.__contains__
    proposals = planner.proposals()
    for turn in (4, 7):
        assert planner.propose(turn, seen, Random(0)) == proposals.optimum(seen)
        assert planner.propose(turn + 1, seen, Random(0)) == proposals.neighbour(seen, Random(0))
        assert planner.propose(turn + 2, seen, Random(0)) == proposals.filling(seen)


def test_turns_are_a_setting_and_none_leaves_one_to_a_drawn_plan():
    problem, turns = PROBLEMS[0], (None, ProposalKind.OPTIMUM)
    settings = replace(DEFAULT_SETTINGS, proposals=ProposalSettings(turns))
    planner = planner_of(problem, settings=settings)
    untried = {}.__contains__
    drawn = planner.proposals().drawn(untried, Random(0))
    assert planner.propose(0, untried, Random(0)) == drawn
    assert planner.propose(1, untried, Random(0)) == planner.proposals().optimum(untried)


def test_a_drawn_plan_is_untried_and_another_kind_follows_where_draws_repeat():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    plans = {planner.proposals().drawn({}.__contains__, Random(seed)) for seed in range(40)}
    assert len(plans) > 10
    assert all(problem.space.snap(plan) == plan for plan in plans)
    assert planner.proposals().drawn(lambda plan: True, Random(0)) is None
    turns = (None, ProposalKind.OPTIMUM)
    settings = replace(DEFAULT_SETTINGS, proposals=ProposalSettings(turns, draws=0))
    other = planner_of(problem, settings=settings)
    optimum = other.proposals().optimum({}.__contains__)
    assert other.propose(0, {}.__contains__, Random(0)) == optimum
