"""Models of loss and latency, refitted as trials are added."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spaces.layers import ratio_matrix
from spaces.plan import Plan
from spaces.planning.fidelity import FidelityModel
from spaces.planning.measured import MeasuredPlans
from spaces.planning.plan_models import Observations
from spaces.planning.settings import DEFAULT_SETTINGS
from tests.spaces.planning.problems import FLOAT, PACT, PROBLEMS, PTQ, QAT, planner_of, tried


def observations(problem, settings=DEFAULT_SETTINGS, fidelity=None):
    """Return what is observed of a problem, and the measured plans that it is fitted to."""
    given, measured = problem.setup(0), MeasuredPlans(fidelity, 0.0)
    observed = Observations(
        given.space,
        given.layers,
        given.sensitivities,
        given.timings,
        given.budget,
        settings,
        measured,
    )
    return observed, measured


def trials(problem, count, first=0):
    """Return trials of plans that differ from those of another `first`."""
    group = problem.space.groups[-1]
    ratios = [(first + number) / group.channels for number in range(count)]
    return tried(problem, [Plan.of({group.name: ratio}, PTQ) for ratio in ratios])


def test_models_are_one_object_until_the_trials_have_grown_enough():
    problem = PROBLEMS[0]
    seen, measured = observations(problem, replace(DEFAULT_SETTINGS, refit_growth=1.5))
    first = seen.models()
    assert seen.models() is first
    measured.add(trials(problem, 10))
    second = seen.models()
    assert second is not first
    measured.add(trials(problem, 4, first=10))
    assert seen.models() is second, "14 trials are less than 1.5 times 10"
    measured.add(trials(problem, 1))
    assert seen.models() is not second, "a plan that is measured again counts too"


def test_only_the_latest_trials_are_fitted():
    problem = PROBLEMS[0]
    settings = replace(DEFAULT_SETTINGS, fitted_trials=5)
    old, new = trials(problem, 5), trials(problem, 5, first=5)
    wrong = [replace(trial, metric_loss=0.9, latency_ratio=0.9) for trial in old]
    both, more = observations(problem, settings)
    alone, fewer = observations(problem, settings)
    more.add(wrong)
    more.add(new)
    fewer.add(new)
    row = ratio_matrix(problem.space.groups, [new[0].plan])
    for found, expected in zip(
        both.models().predict(row, [PTQ]), alone.models().predict(row, [PTQ]), strict=True
    ):
        assert found == pytest.approx(expected)


def test_every_plan_is_predicted_in_its_own_choice():
    problem = PROBLEMS[0]
    models = observations(problem)[0].models()
    choices = [FLOAT, PTQ, QAT, PACT]
    rows = np.full((4, len(problem.space.groups)), 0.25)
    losses, costs = models.predict(rows, choices)
    for index, choice in enumerate(choices):
        assert losses[index] == pytest.approx(models.losses(rows[:1], choice)[0])
        assert costs[index] == pytest.approx(models.costs(rows[:1], choice)[0])
    assert costs[2] == costs[3], "both trainings export the same operators"
    assert costs[0] > 2 * costs[1], "INT8 is much faster than float"


def test_the_planner_predicts_with_these_models():
    problem = PROBLEMS[0]
    plan = Plan.of({problem.space.groups[1].name: 0.5}, PTQ)
    (loss,), (latency,) = planner_of(problem).predict([plan])
    row = ratio_matrix(problem.space.groups, [plan])
    expected = observations(problem)[0].models().predict(row, [PTQ])
    assert (loss, latency) == pytest.approx((expected[0][0], expected[1][0]))


def test_predictions_stay_finite_where_training_turns_losses_into_gains():
    problem, levels = PROBLEMS[0], (1 / 16, 1 / 4, 1.0)
    fidelity = FidelityModel(levels, problem.budget)
    seen, measured = observations(problem, fidelity=fidelity)
    for before, after in pairwise(levels):
        for loss in (0.1, 0.15, 0.2):
            fidelity.learn((before, loss), (after, -2 * loss))
    assert fidelity.left == 0
    measured.add([replace(trial, metric_loss=-0.3) for trial in trials(problem, 3)])
    row = ratio_matrix(problem.space.groups, [Plan.of({problem.space.groups[0].name: 0.5}, PTQ)])
    assert np.isfinite(seen.models().predict(row, [PTQ])).all()
    assert (seen.models().loss.multipliers >= 0).all()
