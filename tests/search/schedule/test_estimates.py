"""How long parts of a run take, guessed from the unpruned model's speed."""

from dataclasses import replace

import pytest

from search.config import RunConfig
from search.schedule.estimates import (
    SPEEDS,
    estimate,
    final_seconds,
    layers_seconds,
    survey_seconds,
)
from search.schedule.forecast import Standing
from spaces.plan import PruningGroup
from tests.search.made_run import baseline


def test_more_training_and_fewer_places_take_longer():
    little = RunConfig(budget=0.1)
    much = RunConfig(budget=0.1, finetune_samples=32_000, retrain_samples=320_000)
    few = estimate(little, baseline(), 24, 2)
    assert estimate(much, baseline(), 24, 2).trial_s > 2 * few.trial_s
    assert estimate(much, baseline(), 24, 2).promoted_s > 2 * few.promoted_s
    one, two, four = (estimate(little, baseline(), 24, n).proposals_s for n in (1, 2, 4))
    # The unpruned model needs no training, so its worker is free earlier.
    assert [one, four] == pytest.approx([2 * two, two / 2], rel=0.1)
    assert few.total_s == few.proposals_s + few.promoted_s + few.end_s


def test_one_level_has_no_promotions():
    once = RunConfig(budget=0.1, retrain_samples=1)
    assert estimate(once, baseline(), 24, 2).promoted_s == 0


def test_what_comes_before_the_search_takes_longer_with_more_groups_and_fewer_places():
    def seconds(groups, places, removable=0, **settings):
        made = baseline(
            groups=tuple(PruningGroup(str(index), 16) for index in range(groups)),
            branches=tuple(PruningGroup(f"b{n}", 1, is_branch=True) for n in range(removable)),
            evaluate_s=2.0,
        )
        return survey_seconds(RunConfig(budget=0.1, **settings), made, places)

    few = seconds(3, 2)
    assert seconds(60, 2) > 1.5 * few
    assert seconds(3, 1) > few
    # A branch is measured once, and a part of the validation split takes less.
    assert few < seconds(3, 2, 57) < seconds(60, 2)
    assert seconds(3, 2, 57, branches=False) == few
    assert seconds(60, 2, sensitivity_share=0.25) < seconds(60, 2)


def test_what_comes_before_the_search_is_counted_in_exports():
    quick, slow = (survey_seconds(RunConfig(budget=0.1), baseline(export_s=s), 2) for s in (0.1, 2))
    assert slow > 1.5 * quick


def test_layers_count_if_they_may_be_measured_and_more_of_them_take_longer():
    def seconds(layers=3, places=1, **settings):
        made = baseline()
        several = replace(made, layers=made.layers * (layers // 3))
        return layers_seconds(RunConfig(budget=0.1, **settings), several, places)

    on = {"layer_precision": True}
    assert seconds() == 0
    assert seconds(**on, choices=["float", "int8_qat"]) == 0
    assert seconds(**on, sampler="layers") == 0
    few = seconds(**on)
    assert 1.5 * few < seconds(30, **on) > seconds(30, 2, **on)
    assert few > 3 * SPEEDS.shape_s


def test_steps_count_samples_by_the_batch():
    by_steps = RunConfig(budget=0.1, finetune_steps=100, batch_size=32)
    by_samples = RunConfig(budget=0.1, finetune_samples=3200, batch_size=32)
    assert estimate(by_steps, baseline(), 24, 2) == estimate(by_samples, baseline(), 24, 2)


def test_nothing_left_takes_no_search():
    found = estimate(RunConfig(budget=0.1), baseline(), 0, 2)
    assert found.proposals_s == found.promoted_s == 0
    assert found.total_s == found.end_s > SPEEDS.start_s


def test_what_has_been_done_is_not_estimated_again():
    config = RunConfig(budget=0.1)
    new = estimate(config, baseline(), 12, 2)
    half = Standing(reached=(12, 4, 1), paused=(8, 3, 0))
    begun = estimate(config, baseline(), 12, 2, half)
    assert begun.proposals_s == pytest.approx(new.proposals_s, rel=0.2)
    assert begun.promoted_s < estimate(config, baseline(), 24, 2).promoted_s
    closing = estimate(config, baseline(), 0, 2, replace(half, closing=1.0))
    assert 0 < closing.promoted_s < estimate(config, baseline(), 0, 2, half).promoted_s


def test_only_a_search_that_may_end_early_has_a_range():
    config = RunConfig(budget=0.1)
    early, late = (
        estimate(config, baseline(), 24, 2, may_end_early=early) for early in (True, False)
    )
    assert early.least_s < early.total_s == late.total_s == late.least_s
    assert "(" in early.in_words(24, 2) and "(" not in late.in_words(24, 2)
    assert late.in_words(24, 2).startswith("about ")
    assert ": 24 plans of " in late.in_words(24, 2)


def test_the_last_timing_ends_after_its_rounds_or_its_seconds():
    settings = RunConfig(budget=0.1)
    fast, slow, slower = (
        final_seconds(settings, baseline(latency_ms=ms, evaluate_s=1.0)) for ms in (10, 1e3, 1e4)
    )
    assert fast < slow == slower
    short = RunConfig(budget=0.1, latency_effort=0.1)
    assert final_seconds(short, baseline(latency_ms=1e3, evaluate_s=1.0)) < slow
