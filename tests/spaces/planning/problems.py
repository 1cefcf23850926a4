"""Helpers of the planner's tests: tabulated problems, and planners with trials."""

import numpy as np
import pytest

from benchmarks.tabulated import Tabulated
from spaces.plan import ON_CPU
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from spaces.planning.settings import DEFAULT_SETTINGS

FLOAT, BF16, PTQ, QAT, PACT = ON_CPU
PROBLEMS = [Tabulated(seed) for seed in range(3)]
TARGETS = np.linspace(0, 1, 6)

each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"problem{p.seed}")
each_choice = pytest.mark.parametrize("choice", [FLOAT, PTQ, QAT])


def planner_of(problem, timings=None, settings=DEFAULT_SETTINGS, **more):
    given = problem.setup(0)
    timings = given.timings if timings is None else timings
    known = (given.space, given.layers, given.sensitivities, timings, given.budget)
    return Planner(*known, settings, **more)


def tried(problem, plans):
    """Return the plans as finished trials."""
    results = [problem.evaluate(plan) for plan in plans]
    return [
        Known(plan, result.metric_loss, result.latency_ratio)
        for plan, result in zip(plans, results, strict=True)
    ]


RANGE = 2.0
"""Targets of 0 to 1 are shares of this many budgets."""


def at(target, choice=PTQ):
    """Return what `Planner.within` is given: a share of the budget, and the choice."""
    return RANGE * float(target), choice


def experienced(problem):
    """Return a planner that has learned from its first plans and more, and those trials."""
    planner = planner_of(problem)
    plans = planner.warm_starts()
    plans += [
        planner.within(*at(target, choice)) for target in (0.2, 0.4) for choice in (PTQ, BF16)
    ]
    known = tried(problem, list(dict.fromkeys(plans)))
    planner.learn(known)
    return planner, known
