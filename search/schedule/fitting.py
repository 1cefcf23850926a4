"""What fits into the time of a run: the measurements before its search, its plans, their training.

One number decides, the size: at 2, twice as many plans are tried as by default, and each is trained
twice as long as the settings ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search.config import PLANS, RunConfig, build_config, changed
from search.records.stage_files import Fitted, Survey
from search.schedule.estimates import (
    begins_untrained,
    estimate,
    level_seconds,
    survey_seconds,
)
from trainables.levels import training_levels
from trainables.results import Baseline

# Fewest plans as long as their training can be shortened instead: the planner's models need some
# to learn from. A guess.
LEAST_PLANS = 9
# Shortest and longest training, in multiples of what the settings ask for. Guesses.
LEAST_TRAINING, MOST_TRAINING = 1 / 8, 16.0
# The shortest where it has to be shorter for a single plan to be trained in full: some batches. A
# guess.
SHORTEST_TRAINING = 1 / 64
# Fewest plans as long as their training can be shortened to SHORTEST_TRAINING. A guess.
FEWEST_PLANS = 2
# A training in full has to fit although it takes this many times what is guessed: it must not be
# left out because the machine is busier than at the baseline's measurement. A guess.
SLOWER = 1.5
# Share of the time left after the baseline that the measurements before the search may take. A
# guess.
SURVEY_SHARE = 0.3
# Share of it beyond which branches are not measured, and stay in. A guess.
BRANCHES_SHARE = 0.6
# Ratios per group and shares of the validation batches, from the settings' own down: with fewer
# than 3 ratios a curve has no bend, and noise counts less than that. A guess.
LEAST_POINTS, SHARES, FEWEST_POINTS = 3, (1.0, 0.5, 0.25), 2
# Fewest untrained plans that are timed: half of the default. A guess.
LEAST_SHAPES = 6
# Share of the time left after those that measuring INT8 in each layer may take. A guess.
LAYERS_SHARE = 0.1
# Halvings of the interval of sizes, which is then 0.1 % wide.
HALVINGS = 16


def fitted_survey(
    config: RunConfig,
    baseline: Baseline,
    left_s: float,
    at_once: int,
) -> Survey:
    """Return the most thorough measurements before the search that are expected to take at most
    SURVEY_SHARE of `left_s` seconds; the least thorough ones if none are, without branches if
    those exceed BRANCHES_SHARE."""
    usual, given = config.sensitivity_points, config.sensitivity_share
    least = min(usual, LEAST_POINTS)
    steps = [(points, 1.0) for points in range(usual, least, -1)]
    steps += [(least, share) for share in SHARES]
    steps.append((min(usual, FEWEST_POINTS), SHARES[-1]))

    def share_of_time(survey: Survey) -> float:
        sized = changed(config, vars(survey))
        return survey_seconds(sized, baseline, at_once) / max(1.0, left_s)

    for points, share in steps:
        shapes = max(LEAST_SHAPES, config.latency_points * points // usual)
        shapes = min(config.latency_points, shapes)
        found = Survey(points, share * given, shapes, config.branches)
        if share_of_time(found) <= SURVEY_SHARE:
            break
    if baseline.branches and share_of_time(found) > BRANCHES_SHARE:
        found = replace(found, branches=False)
    return found


def fits_layers(seconds: float, left_s: float) -> bool:
    """Return whether what INT8 costs in each layer may take these wall seconds: none, or at most
    LAYERS_SHARE of `left_s`."""
    return seconds <= 0 or seconds <= LAYERS_SHARE * left_s


def fitted(config: RunConfig, baseline: Baseline, left_s: float, at_once: int) -> Fitted | None:
    """Return the largest search that is expected to fit into `left_s` seconds, with the end of the
    run; None if not even one plan does.

    There are at most `config.trials` plans. Where LEAST_PLANS with a training of LEAST_TRAINING do
    not fit there are fewer finalists, then training is shorter still, with fewer plans; at last the
    unpruned model alone, where that needs no training.
    """
    begins = begins_untrained(config, baseline)

    def fits(plans: int, training: float, finalists: int = config.finalists) -> bool:
        sized = with_levels(config, _search(config, baseline, plans, training, finalists))
        ahead = estimate(sized, baseline, plans, at_once)
        levels = level_seconds(sized, baseline)
        alone_s = sum(level.training_s(1.0) + level.other_s for level in levels)
        if plans == 1 and begins:
            alone_s = 0.0
        return max(ahead.total_s, SLOWER * alone_s + ahead.end_s) <= left_s

    def plans_at(size: float) -> int:
        return min(config.trials, max(LEAST_PLANS, round(PLANS * size)))

    plans = plans_at(LEAST_TRAINING)
    if not fits(plans, LEAST_TRAINING):
        return _smallest(config, baseline, plans, fits)
    size = _largest(lambda size: fits(plans_at(size), size))
    plans = plans_at(size)
    # The number of plans is whole: what it leaves goes to their training.
    training = _largest(lambda training: fits(plans, training))
    return _search(config, baseline, plans, training, config.finalists)


def _smallest(
    config: RunConfig, baseline: Baseline, plans: int, fits: Callable[[int, float, int], bool]
) -> Fitted | None:
    """Return the search that fits with fewer finalists than the settings ask for, or with less than
    LEAST_TRAINING and at most `plans`; None if nothing fits."""
    for finalists in range(config.finalists - 1, 0, -1):
        if fits(plans, LEAST_TRAINING, finalists):
            return _search(config, baseline, plans, LEAST_TRAINING, finalists)
    for fewest in range(min(FEWEST_PLANS, plans), 0, -1):
        if fits(fewest, SHORTEST_TRAINING, 1):
            break
    else:
        return None
    training = _largest(
        lambda training: fits(fewest, training, 1), SHORTEST_TRAINING, LEAST_TRAINING
    )
    number = max(n for n in range(fewest, plans + 1) if fits(n, training, 1))
    return _search(config, baseline, number, training, 1)


def _largest(
    fits: Callable[[float], bool], low: float = LEAST_TRAINING, high: float = MOST_TRAINING
) -> float:
    """Return the largest factor of the training that fits; `low` does."""
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _search(
    config: RunConfig, baseline: Baseline, plans: int, training: float, finalists: int
) -> Fitted:
    """Return the search with levels that are `training` times those of the settings."""
    usual = training_levels(config, baseline)[0].samples
    first = max(1, round(usual * training))

    def scaled(samples: int) -> int:
        # Multiples of the first: with other ratios there might be one more level.
        return max(1, round(samples / usual * first))

    return Fitted(
        plans,
        first,
        scaled(config.qat_samples),
        scaled(config.retrain_samples),
        scaled(config.retrain_qat_samples),
        finalists,
    )


def with_levels(config: RunConfig, found: Fitted) -> RunConfig:
    """Return the configuration with the levels and the finalists that were fitted."""
    levels = {name: v for name, v in vars(found).items() if name != "plans" and v is not None}
    return build_config(
        {**config.model_dump(mode="json"), "finetune_steps": None, **levels}, [], {}
    )
