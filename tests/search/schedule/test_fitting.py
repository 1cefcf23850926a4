"""The search that fits into a time: its plans and their levels."""

from dataclasses import replace

import pytest

from search.config import RunConfig, changed
from search.records.stage_files import Survey
from search.schedule.estimates import estimate, final_seconds, level_seconds, survey_seconds
from search.schedule.fitting import (
    LAYERS_SHARE,
    LEAST_PLANS,
    LEAST_TRAINING,
    MOST_TRAINING,
    SHORTEST_TRAINING,
    SLOWER,
    fits_layers,
    fitted,
    fitted_survey,
    with_levels,
)
from spaces.plan import PruningGroup
from tests.search.made_run import baseline
from trainables.levels import training_levels

CORES = 2
# As the built-in problem on two cores.
PACE = {"train_s": 1 / 120, "evaluate_s": 0.5}


def config(**more):
    return RunConfig(budget=0.1, within="1h", **more)


def seconds(found, settings):
    return estimate(with_levels(settings, found), baseline(**PACE), found.plans, CORES).total_s


@pytest.mark.parametrize("left_s", [150, 240, 600, 1800, 7200])
def test_the_time_is_used_and_not_exceeded(left_s):
    found = fitted(config(), baseline(**PACE), left_s, CORES)
    assert 0.9 * left_s < seconds(found, config()) <= left_s


def test_the_default_time_gives_the_default_search():
    usual = RunConfig(budget=0.1)
    left_s = estimate(usual, baseline(**PACE), usual.trials, CORES).total_s
    found = fitted(config(), baseline(**PACE), 1.001 * left_s, CORES)
    assert found.plans == usual.trials
    assert found.retrain_samples == pytest.approx(usual.retrain_samples, rel=0.02)
    assert found.qat_samples == pytest.approx(usual.qat_samples, rel=0.02)


def test_more_time_gives_more_of_both_and_little_time_at_least_nine_plans():
    little, much, most = (
        fitted(config(), baseline(**PACE), left_s, CORES) for left_s in (130, 1800, 36_000)
    )
    assert little.plans == LEAST_PLANS < much.plans < most.plans == config().trials
    assert little.retrain_samples < much.retrain_samples < most.retrain_samples
    assert most.retrain_samples <= MOST_TRAINING * config().retrain_samples


def test_the_number_of_plans_that_is_given_is_the_most():
    found = fitted(config(trials=5), baseline(**PACE), 1800, CORES)
    assert found.plans == 5
    assert found.retrain_samples > config().retrain_samples


def test_little_time_takes_finalists_first_then_training():
    usual, slow = config(), baseline(train_s=0.25, evaluate_s=5.0)
    least = usual.retrain_samples * LEAST_TRAINING
    some = fitted(usual, baseline(train_s=1 / 160, evaluate_s=0.8), 60, CORES)
    little = fitted(usual, slow, 600, CORES)
    assert some.retrain_samples == least and some.plans == LEAST_PLANS
    assert some.finalists < usual.finalists
    assert usual.retrain_samples * SHORTEST_TRAINING < little.retrain_samples < least
    assert little.finalists == 1


def test_without_time_for_a_short_training_there_is_the_unpruned_model_or_nothing():
    slow = baseline(train_s=0.25, evaluate_s=5.0)
    assert fitted(config(), slow, 40, CORES).plans == 1
    assert fitted(config(choices=["int8_qat"]), slow, 40, CORES) is None
    assert fitted(config(), slow, -3, CORES) is None


@pytest.mark.parametrize("left_s", [60, 150, 600, 7200])
def test_a_training_in_full_may_take_longer_than_guessed(left_s):
    found = fitted(config(), baseline(**PACE), left_s, CORES)
    sized = with_levels(config(), found)
    levels = level_seconds(sized, baseline(**PACE))
    quantized_s = sum(level.training_s(1.0) for level in levels)
    assert SLOWER * quantized_s < left_s - final_seconds(sized, baseline(**PACE))


def test_levels_keep_their_shares_and_steps_become_samples():
    asked = config(finetune_steps=50, batch_size=32)
    found = fitted(asked, baseline(**PACE), 1800, CORES)
    before, after = (
        [level.fidelity for level in training_levels(settings, baseline(**PACE))]
        for settings in (asked, with_levels(asked, found))
    )
    assert after == pytest.approx(before, rel=0.01)
    again = replace(found, plans=1)
    assert with_levels(with_levels(asked, found), again) == with_levels(asked, found)


def test_what_comes_before_the_search_fits_into_its_share():
    slow = baseline(
        groups=tuple(PruningGroup(str(index), 16) for index in range(36)),
        branches=tuple(PruningGroup(f"b{n}", 1, is_branch=True) for n in range(9)),
        train_s=0.02,
        evaluate_s=4.0,
    )

    def found(within_s):
        survey = fitted_survey(config(), slow, within_s, CORES)
        return survey, survey_seconds(changed(config(), vars(survey)), slow, CORES)

    (whole, _), (some, some_s), (few, _), (least, _) = (found(s) for s in (7200, 700, 340, 10))
    usual = RunConfig(budget=0.1)
    assert whole == Survey(usual.sensitivity_points, 1.0, usual.latency_points)
    assert some.sensitivity_points < usual.sensitivity_points and some_s <= 0.3 * 700
    assert (few.sensitivity_points, few.sensitivity_share, few.branches) == (2, 0.25, True)
    assert least == replace(few, branches=False)
    assert least.latency_points == 6


def test_a_survey_is_never_more_thorough_than_the_settings():
    few = config(sensitivity_points=2, latency_points=4, sensitivity_share=0.5)
    for within_s, found in ((7200, Survey(2, 0.5, 4)), (1, Survey(2, 0.125, 4))):
        assert fitted_survey(few, baseline(**PACE), within_s, CORES) == found


def test_layers_have_their_share_of_the_time_and_those_that_are_known_take_none():
    assert fits_layers(LAYERS_SHARE * 600, 600)
    assert not fits_layers(LAYERS_SHARE * 601, 600)
    assert fits_layers(0, -5) and not fits_layers(1, -5)
