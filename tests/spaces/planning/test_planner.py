"""The planner on tabulated problems: realistic, without training."""

from dataclasses import replace

import numpy as np
import pytest

from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import ON_CPU, Plan, PruningGroup
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from spaces.planning.settings import DEFAULT_SETTINGS
from spaces.space import Space
from tests.spaces.networks import chain
from tests.spaces.planning.problems import (
    FLOAT,
    PACT,
    PROBLEMS,
    PTQ,
    QAT,
    RANGE,
    TARGETS,
    at,
    each_choice,
    each_problem,
    experienced,
    planner_of,
    tried,
)


def multiply_adds(problem, plans):
    """Return the share of the model's multiply-adds in plans, shape (plans,)."""
    groups = problem.space.groups
    return LayerCosts(problem.layers, groups).multiply_adds(ratio_matrix(groups, plans))


def lost(planner, plans):
    return planner.predict(plans)[0]


# The fastest plan within a loss


@each_problem
@each_choice
def test_the_more_may_be_lost_the_more_is_pruned(problem, choice):
    planner = planner_of(problem)
    plans = [planner.within(*at(target, choice)) for target in TARGETS]
    _, latencies = planner.predict(plans)
    assert (np.diff(latencies) <= 0).all()
    assert latencies[0] > 1.5 * latencies[-1]
    assert (np.diff(multiply_adds(problem, plans)) <= 0.01).all()
    assert multiply_adds(problem, plans)[0] > 2 * multiply_adds(problem, plans)[-1]


@each_problem
@each_choice
def test_a_plan_is_predicted_to_keep_its_target_and_to_use_most_of_it(problem, choice):
    planner = planner_of(problem)
    plans = [planner.within(*at(target, choice)) for target in TARGETS]
    targets = TARGETS * RANGE * problem.budget
    assert (lost(planner, plans) <= targets + 1e-12).all()
    assert lost(planner, plans)[-1] > 0.8 * targets[-1]


@each_problem
def test_plans_are_of_the_space_and_of_the_choice(problem):
    planner = planner_of(problem)
    for choice in ON_CPU:
        for target in TARGETS:
            plan = planner.within(*at(target, choice))
            assert plan.quantization is choice
            assert problem.space.snap(plan) == plan


@each_problem
def test_no_random_plan_is_predicted_to_beat_the_decoded_one(problem):
    """Among plans of the same choice that meet the target."""
    planner, rng = planner_of(problem), np.random.default_rng(0)
    best = planner.within(*at(0.5))
    rows = rng.uniform(0, 0.9, (300, len(problem.space.groups))) * rng.uniform(0, 1, (300, 1))
    plans = [
        problem.space.snap(
            Plan.of({g.name: r for g, r in zip(problem.space.groups, row, strict=True)}, PTQ)
        )
        for row in rows
    ]
    losses, latencies = planner.predict(plans)
    (limit,), (latency,) = planner.predict([best])
    assert (losses <= limit).sum() > 20
    assert (latencies[losses <= limit] > latency).all()


def test_if_even_the_unpruned_model_loses_too_much_nothing_is_pruned():
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    planner.learn([Known(Plan.of({}, PTQ), 0.04, 0.3)] * 5)
    assert planner.within(*at(0.01, PTQ)) == Plan.of({}, PTQ)
    assert planner.within(*at(0.1, FLOAT)).is_pruned


@each_problem
def test_little_of_a_target_is_left_over(problem):
    """Also between the corners of the trade-off: small steps of the target are used."""
    planner = planner_of(problem)
    targets = np.linspace(0.3, 0.7, 30)
    losses = lost(planner, [planner.within(*at(target)) for target in targets])
    assert (losses > 0.93 * targets * RANGE * problem.budget).all()


# Warm starts


@each_problem
def test_warm_starts_are_plans_of_the_space_and_none_comes_twice(problem):
    plans = planner_of(problem).warm_starts()
    assert len(set(plans)) == len(plans) >= 3
    assert all(problem.space.snap(plan) == plan for plan in plans)


@each_problem
def test_warm_starts_begin_with_the_unpruned_model_then_the_fastest_choice_at_the_budget(problem):
    planner = planner_of(problem)
    unpruned, first, second, *others = planner.warm_starts()
    at_budget = [planner.within(*at(1 / RANGE, choice)) for choice in ON_CPU]
    fastest = at_budget[int(np.argmin(planner.predict(at_budget)[1]))]
    assert first == fastest
    assert second.quantization is first.quantization
    assert lost(planner, [first])[0] > lost(planner, [second])[0]
    untrained = [Plan.of({}, choice) for choice in ON_CPU if not choice.is_trained]
    assert unpruned == untrained[int(np.argmin(planner.predict(untrained)[1]))]
    # One of every export that may be worth it, at the budget.
    assert set(others) <= set(at_budget)
    timed_as = [plan.quantization.timed_as for plan in others]
    assert len(set(timed_as)) == len(timed_as)
    latencies = planner.predict([first, *others])[1]
    assert (latencies <= 1.5 * latencies[0]).all()


def test_a_choice_that_is_much_slower_is_no_warm_start():
    """Float takes three times as long as INT8 and bfloat16."""
    assert FLOAT not in {plan.quantization for plan in planner_of(PROBLEMS[1]).warm_starts()}


@pytest.mark.parametrize("choices", [(FLOAT,), (FLOAT, PTQ), (QAT, PACT)])
def test_warm_starts_are_of_the_choices_there_are(choices):
    groups, layers = chain(4, 32)
    plans = Planner(Space(groups, choices), layers, {}, (), 0.1).warm_starts()
    assert {plan.quantization for plan in plans} <= set(choices)
    assert any(plan.is_pruned for plan in plans)
    assert not plans[0].is_pruned
    assert plans[0].quantization.is_trained == all(choice.is_trained for choice in choices)


def test_a_model_that_cannot_be_pruned_has_its_precisions_as_warm_starts():
    groups = (PruningGroup("conv0.weight", 8),)
    _, layers = chain(1, 8)
    plans = Planner(Space(groups, (FLOAT, PTQ)), layers, {}, (), 0.1).warm_starts()
    assert set(plans) == {Plan.of({}, FLOAT), Plan.of({}, PTQ)}


# Learning


@each_problem
def test_trials_move_predictions_towards_them(problem):
    planner = planner_of(problem)
    plans = planner.warm_starts()
    known = tried(problem, plans)
    truth = np.array([[trial.metric_loss, trial.latency_ratio] for trial in known]).T
    before = np.abs(np.array(planner.predict(plans)) - truth).mean(axis=1)
    planner.learn(known)
    after = np.abs(np.array(planner.predict(plans)) - truth).mean(axis=1)
    assert after[0] < 0.8 * before[0]
    assert after[1] <= 1.1 * before[1]


@each_problem
def test_trials_improve_predictions_of_plans_that_were_not_tried(problem):
    planner = planner_of(problem)
    plans = [planner.within(*at(t, c)) for t in np.linspace(0.1, 1, 8) for c in (FLOAT, PTQ)]
    seen, unseen = plans[::2], plans[1::2]
    truth = np.array([problem.true_loss(plan) for plan in unseen])
    before = np.abs(lost(planner, unseen) - truth).mean()
    planner.learn(tried(problem, seen))
    assert np.abs(lost(planner, unseen) - truth).mean() < before


def test_without_timings_trials_teach_the_latency():
    problem = PROBLEMS[0]
    planner = planner_of(problem, timings=())
    plans = [planner.within(*at(target)) for target in TARGETS]
    truth = np.array([problem.true_latency(plan) for plan in plans])
    before = np.abs(planner.predict(plans)[1] / truth - 1).mean()
    planner.learn(tried(problem, plans[::2]))
    assert np.abs(planner.predict(plans)[1] / truth - 1).mean() < 0.2 * before


def test_a_choice_learns_the_latency_of_the_one_with_the_same_graph():
    planner = planner_of(PROBLEMS[0], timings=())
    whole = [Plan.of({}, choice) for choice in (QAT, PACT, PTQ)]
    before = planner.predict(whole)[1]
    planner.learn([Known(Plan.of({}, QAT), 0.0, 0.4)])
    after = planner.predict(whole)[1]
    assert after[0] == after[1] == pytest.approx(0.4, abs=0.01)
    assert after[2] == before[2]


@each_problem
def test_the_order_of_trials_does_not_matter(problem):
    planner, known = experienced(problem)
    other = planner_of(problem)
    for trial in known:
        other.learn([trial])
    plans = [planner.within(*at(target)) for target in TARGETS]
    assert [other.within(*at(target)) for target in TARGETS] == plans
    assert np.array(other.predict(plans)) == pytest.approx(np.array(planner.predict(plans)))


def test_among_many_trials_one_more_does_not_refit_the_models():
    """A fit takes time, and one trial in hundreds teaches little."""
    problem = PROBLEMS[0]
    planner = planner_of(problem)
    plans = [Plan.of({}, PTQ), planner.within(*at(0.5))]
    planner.learn(tried(problem, plans) * 100)
    before = lost(planner, plans)
    planner.learn([Known(plans[1], 0.5, 0.1)])
    assert (lost(planner, plans) == before).all()
    planner.learn([Known(plans[1], 0.5, 0.1)] * 10)
    assert lost(planner, plans)[1] > before[1]


def test_a_planner_that_does_not_learn_predicts_as_before():
    problem = PROBLEMS[0]
    planner = planner_of(problem, settings=replace(DEFAULT_SETTINGS, learns=False))
    plans = planner.warm_starts()
    before = lost(planner, plans)
    planner.learn(tried(problem, plans))
    assert (lost(planner, plans) == before).all()
