"""How long parts of a run take, guessed from the unpruned model's speed."""

import pytest

from search.config import RunConfig
from search.schedule.estimates import (
    SPEEDS,
    closing_seconds,
    estimate,
    final_seconds,
    promotions,
    survey_seconds,
)
from tests.search.made_run import baseline

START_S = SPEEDS.start_s


def test_more_training_and_fewer_places_take_longer():
    little = RunConfig(budget=0.1)
    much = RunConfig(budget=0.1, finetune_samples=32_000, retrain_samples=320_000)
    few = estimate(little, baseline(), 24, 2)
    assert estimate(much, baseline(), 24, 2).trial_s > 2 * few.trial_s
    assert estimate(much, baseline(), 24, 2).promoted_s > 2 * few.promoted_s
    one, two, four = (estimate(little, baseline(), 24, n).search_s - START_S for n in (1, 2, 4))
    assert [one, four] == pytest.approx([2 * two, two / 2])
    assert few.total_s == few.search_s + few.promoted_s + few.final_s


def test_one_level_has_no_promotions():
    once = RunConfig(budget=0.1, retrain_samples=1)
    assert estimate(once, baseline(), 24, 2).promoted_s == 0


def test_what_comes_before_the_search_takes_longer_with_more_groups_and_fewer_places():
    config = RunConfig(budget=0.1)
    few = survey_seconds(config, baseline(), 3, 2)
    assert survey_seconds(config, baseline(), 30, 2) > 2 * few
    assert survey_seconds(config, baseline(), 3, 1) > few


def test_steps_count_samples_by_the_batch():
    by_steps = RunConfig(budget=0.1, finetune_steps=100, batch_size=32)
    by_samples = RunConfig(budget=0.1, finetune_samples=3200, batch_size=32)
    assert estimate(by_steps, baseline(), 24, 2) == estimate(by_samples, baseline(), 24, 2)


def test_nothing_left_takes_no_search():
    assert estimate(RunConfig(budget=0.1), baseline(), 0, 2).search_s == START_S


def test_one_of_three_is_promoted_at_each_level():
    assert promotions(24, 3) == [8, 2]
    assert promotions(2, 3) == [0, 0]
    assert promotions(24, 1) == []


def test_the_last_promotions_train_in_full_what_was_promoted_furthest():
    fidelities, seconds = (1 / 16, 1 / 4, 1.0), (1.0, 3.0, 12.0)
    # Six are at level 1: three trainings in full pay for four times the last three quarters.
    assert closing_seconds([24, 8, 2], fidelities, seconds, 3) == 4 * 12
    # Two are at level 1, and the compute that is left pays for one from level 0.
    assert closing_seconds([9, 3, 1], fidelities, seconds, 3) == 2 * 12 + (3 + 12)
    assert closing_seconds([24, 8, 2], fidelities, seconds, 0) == 0
    assert closing_seconds([2, 0, 0], fidelities, seconds, 3) == 2 * (3 + 12)
    assert closing_seconds([24], (1.0,), (12.0,), 3) == 0


def test_the_last_timing_ends_after_its_rounds_or_its_seconds():
    settings = RunConfig(budget=0.1)
    fast, slow, slower = (
        final_seconds(settings, baseline(latency_ms=ms, evaluate_s=1.0)) for ms in (10, 1e3, 1e4)
    )
    assert fast < slow == slower
    short = RunConfig(budget=0.1, latency_effort=0.1)
    assert final_seconds(short, baseline(latency_ms=1e3, evaluate_s=1.0)) < slow
