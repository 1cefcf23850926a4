"""What the planner proposes once it has seen trials: neighbours, and plans that fill the front."""

from random import Random

import numpy as np

from spaces.encoding import Known
from spaces.pareto import hypervolume
from spaces.plan import Plan
from spaces.planner import PARENTS
from tests.spaces.planning import (
    PROBLEMS,
    PTQ,
    at,
    each_problem,
    experienced,
    planner_of,
)


@each_problem
def test_a_neighbour_is_untried_and_promises_to_be_faster_within_the_budget(problem):
    planner, known = experienced(problem)
    seen = {trial.plan for trial in known}
    feasible = [trial for trial in known if trial.metric_loss <= problem.budget]
    parents = sorted(feasible, key=lambda trial: trial.latency_ratio)[:PARENTS]
    assert len(parents) == PARENTS
    for seed in range(10):
        plan = planner.neighbour(seen.__contains__, Random(seed))
        assert plan not in seen
        assert problem.space.snap(plan) == plan
        seen.add(plan)
        promises = []
        for parent in parents:
            if parent.plan.quantization is not plan.quantization:
                continue
            (start, loss), (slow, fast) = planner.predict([parent.plan, plan])
            names = {name for p in (parent.plan, plan) for name, _ in p.ratios}
            moved = [name for name in names if plan.ratio(name) != parent.plan.ratio(name)]
            promises.append(
                parent.metric_loss + loss - start <= problem.budget
                and fast < slow
                and len(moved) <= 3
            )
        assert any(promises)


def test_a_neighbour_moves_groups_by_a_level_or_two():
    problem = PROBLEMS[0]
    planner, known = experienced(problem)
    start = planner._row(known[0].plan)
    levels = planner._levels
    for seed in range(30):
        moved = planner._moved(start, Random(seed))
        steps = [
            abs(int(np.argmin(abs(level - moved[g]))) - int(np.argmin(abs(level - start[g]))))
            for g, level in enumerate(levels)
        ]
        assert max(steps) <= 2
        assert sum(step > 0 for step in steps) <= 3


def test_without_a_trial_within_the_budget_there_is_no_neighbour():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    assert planner.neighbour(lambda plan: False, Random(0)) is None
    planner.learn([Known(planner.decode(at(0.5)), 2 * problem.budget, 0.1)])
    assert planner.neighbour(lambda plan: False, Random(0)) is None


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
    plan = planner.filling(seen.__contains__)
    assert plan not in seen
    assert problem.space.snap(plan) == plan
    assert gain(plan) > 0
    following = planner.filling({*seen, plan}.__contains__)
    assert following != plan
    assert gain(following) <= gain(plan) + 1e-12


def test_filling_ends_where_nothing_promises_more():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    assert planner.filling(lambda plan: False) is not None
    assert planner.filling(lambda plan: True) is None
    planner.learn([Known(Plan.of({}, PTQ), -0.5, 0.0001)])
    assert planner.filling(lambda plan: False) is None


def test_proposals_take_turns_a_neighbour_a_filling_and_none():
    planner, known = experienced(PROBLEMS[0])
    seen = {trial.plan for trial in known}.__contains__
    assert planner.propose(3, seen, Random(0)) is None
    assert planner.propose(4, seen, Random(0)) == planner.neighbour(seen, Random(0))
    assert planner.propose(5, seen, Random(0)) == planner.filling(seen)
    assert planner.propose(4, seen, Random(0)) != planner.propose(5, seen, Random(0))
    assert planner.propose(6, seen, Random(0)) is None
