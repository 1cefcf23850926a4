"""The planner with losses measured after a part of the training."""

from dataclasses import replace

import numpy as np
import pytest

from spaces.plan import Plan
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known
from tests.spaces.planning.problems import PROBLEMS, PTQ, at, planner_of

LEVELS = (1 / 16, 1 / 4, 1.0)


def planner_with(problem, confidence_z=0.0):
    """Return a planner and the model of fidelity that it asks."""
    model = FidelityModel(LEVELS, problem.budget)
    return planner_of(problem, fidelity=model, confidence_z=confidence_z), model


def pruned(problem, share):
    return Plan.of({group.name: share for group in problem.space.groups[:4]}, PTQ)


def test_the_first_guess_is_of_training_in_full():
    """What a short training is expected to lose, of which every level leaves a share."""
    problem = PROBLEMS[0]
    planner, model = planner_with(problem)
    plan = pruned(problem, 0.5)
    short, full = planner_of(problem).predict([plan])[0][0], planner.predict([plan])[0][0]
    assert full == pytest.approx(model.left * short)
    slow, fast = planner_of(problem).within(*at(0.5)), planner.within(*at(0.5))
    assert planner.predict([fast])[1] < planner.predict([slow])[1]


def test_a_loss_after_little_training_is_no_reason_to_give_a_plan_up():
    """Of three budgets a quarter is expected to be left."""
    problem = PROBLEMS[0]
    planner, model = planner_with(problem)
    plan, loss = pruned(problem, 0.5), 3 * problem.budget
    planner.learn([Known(plan, loss, 0.2, LEVELS[0])])
    (best,) = planner.proposals().best
    expected = model.predict(np.array([LEVELS[0]]), np.array([loss]))
    assert (best.plan, best.loss, best.error) == (plan, expected[0][0], expected[1][0])
    assert 0 < best.loss < problem.budget and best.error > 0


def test_a_plan_that_training_in_full_did_not_save_is_the_fastest_no_longer():
    problem = PROBLEMS[0]
    planner, _ = planner_with(problem)
    hopeful, sound = pruned(problem, 0.75), pruned(problem, 0.25)
    planner.learn(
        [Known(hopeful, 3 * problem.budget, 0.1, LEVELS[0]), Known(sound, 0.01, 0.3, 1.0)]
    )
    assert [one.plan for one in planner.proposals().best] == [hopeful, sound]
    # Plans slower than the hopeful one promise nothing, until it has failed.
    (promise,) = planner.proposals().promises(np.array([0.0]), np.array([0.2]), 0.01)
    assert promise == 0
    planner.learn([Known(hopeful, 2 * problem.budget, 0.1, 1.0)])
    assert [one.plan for one in planner.proposals().best] == [sound]
    (promise,) = planner.proposals().promises(np.array([0.0]), np.array([0.2]), 0.01)
    assert promise == pytest.approx(0.1)


def test_a_plan_that_is_trained_on_replaces_itself():
    problem = PROBLEMS[0]
    planner, _ = planner_with(problem)
    other, _ = planner_with(problem)
    plan = pruned(problem, 0.5)
    planner.learn([Known(plan, 0.4, 0.2, LEVELS[0])])
    planner.learn([Known(plan, 0.03, 0.2, 1.0)])
    other.learn([Known(plan, 0.03, 0.2, 1.0)])
    assert planner.predict([plan])[0] == other.predict([plan])[0]


def test_what_levels_leave_changes_predictions_of_all_plans():
    problem = PROBLEMS[0]
    planner, model = planner_with(problem)
    other, _ = planner_with(problem)
    plan = pruned(problem, 0.5)
    first = [Known(pruned(problem, share), 0.2, 0.2, LEVELS[0]) for share in (0.25, 0.75)]
    for one in (planner, other):
        one.learn(first)
    before = other.predict([plan])[0][0]
    for _ in range(20):
        model.learn((LEVELS[0], 0.2), (LEVELS[1], 0.18))
    planner.learn([replace(first[0], metric_loss=0.18, fidelity=LEVELS[1])])
    assert planner.predict([plan])[0][0] > 1.2 * before


def test_a_loss_after_training_in_full_weighs_more():
    problem = PROBLEMS[0]
    plan = pruned(problem, 0.5)

    def predicted(fidelity):
        planner, model = planner_with(problem)
        # The loss that full training is predicted to leave is the same.
        loss = 0.1 if fidelity == 1 else 0.1 / model.left
        planner.learn([Known(plan, loss, 0.2, fidelity)])
        return planner.predict([plan])[0][0], planner.fastest().models.loss_error

    first = planner_with(problem)[0].predict([plan])[0][0]
    (full, full_error), (short, short_error) = predicted(1.0), predicted(LEVELS[0])
    assert abs(full - 0.1) < abs(short - 0.1) < abs(first - 0.1)
    assert full_error != short_error


def test_the_error_of_predictions_holds_that_of_the_training_to_come():
    problem = PROBLEMS[0]
    errors = []
    for fidelity in (1.0, LEVELS[0]):
        planner, model = planner_with(problem)
        plans = [planner.within(*at(target)) for target in np.linspace(0.2, 0.5, 6)]
        exact = planner.predict(plans)[0] / (model.left if fidelity < 1 else 1.0)
        planner.learn(
            [Known(p, float(v), 0.3, fidelity) for p, v in zip(plans, exact, strict=True)]
        )
        errors.append(planner.fastest().models.loss_error)
    assert errors[1] > 1.2 * errors[0]


def test_the_margin_is_taken_off_the_budget():
    problem = PROBLEMS[0]
    planner, _ = planner_with(problem, confidence_z=2.0)
    assert planner.limit == problem.budget
    error = 0.1 * problem.budget
    plan = pruned(problem, 0.25)
    planner.learn([Known(plan, 0.9 * problem.budget, 0.3, 1.0, error)])
    assert planner.limit == pytest.approx(0.8 * problem.budget)
    assert not planner.proposals().best, "the loss is within the budget, its margin is not"
    chosen = planner.within(1.0, PTQ)
    assert planner.predict([chosen])[0] <= planner.limit + 1e-12
