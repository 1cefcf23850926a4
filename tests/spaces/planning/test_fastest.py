"""The fastest plans within a predicted loss."""

import numpy as np

from spaces.plan import Plan
from spaces.planning.settings import DEFAULT_SETTINGS
from tests.spaces.planning.problems import PROBLEMS, PTQ, QAT, each_problem, planner_of


@each_problem
def test_more_loss_allows_a_faster_plan(problem):
    fastest = planner_of(problem).fastest()
    plans = [fastest.within(share * problem.budget, PTQ) for share in (0.2, 0.5, 1.0, 2.0)]
    _, latencies = planner_of(problem).predict(plans)
    assert (np.diff(latencies) <= 0).all() and latencies[-1] < 0.9 * latencies[0]


def test_the_front_has_a_row_of_levels_per_price_from_most_to_least_pruned():
    problem = PROBLEMS[0]
    fastest = planner_of(problem).fastest()
    front = fastest.front(PTQ)
    groups = len(problem.space.groups)
    assert front.shape == (DEFAULT_SETTINGS.knapsack.price_count, groups)
    assert front[0].mean() > front[-1].mean()
    for group, levels in enumerate(fastest.levels):
        assert set(front[:, group]) <= set(levels)


def test_choices_that_are_timed_alike_share_a_front():
    fastest = planner_of(PROBLEMS[0]).fastest()
    assert fastest.front(QAT) is fastest.front(QAT.timed_as)
    assert fastest.front(QAT) is not fastest.front(PTQ)


def test_a_loss_below_all_plans_gives_the_unpruned_model():
    assert planner_of(PROBLEMS[0]).fastest().within(-1.0, PTQ) == Plan.of({}, PTQ)


def test_levels_are_the_spaces_ascending_from_0():
    problem = PROBLEMS[0]
    fastest = planner_of(problem).fastest()
    for group, levels in zip(problem.space.groups, fastest.levels, strict=True):
        assert levels[0] == 0 and (np.diff(levels) > 0).all()
        counts = [round(group.channels * (1 - level)) for level in levels]
        assert counts == problem.space.levels(group)[::-1]
