"""The number of plans and the length of their training that fit into the time left for a search.

One number decides, the size: at 2, twice as many plans are tried as by default, and each is trained
twice as long as the settings ask for.
"""

from __future__ import annotations

from collections.abc import Callable

from search.config import PLANS, RunConfig, build_config, changed
from search.records.stage_files import Fitted
from search.schedule.estimates import estimate
from trainables.levels import training_levels
from trainables.results import Baseline

# Fewest plans as long as their training can be shortened instead: the planner's models need some
# to learn from. A guess.
LEAST_PLANS = 9
# Shortest and longest training, in multiples of what the settings ask for. Guesses.
LEAST_TRAINING, MOST_TRAINING = 1 / 8, 16.0
# Halvings of the interval of sizes, which is then 0.1 % wide.
HALVINGS = 16


def fitted(config: RunConfig, baseline: Baseline, left_s: float, at_once: int) -> Fitted | None:
    """Return the largest search that is expected to fit into `left_s` seconds, with the end of the
    run; None if not even one plan does.

    There are at most `config.trials` plans. Training is never shorter than LEAST_TRAINING; where
    that does not fit there are fewer than LEAST_PLANS plans, or fewer finalists.
    """

    def fits(plans: int, training: float, finalists: int = config.finalists) -> bool:
        found = _search(config, baseline, plans, training)
        sized = changed(with_levels(config, found), {"finalists": finalists})
        return estimate(sized, baseline, plans, at_once).total_s <= left_s

    def plans_at(size: float) -> int:
        return min(config.trials, max(LEAST_PLANS, round(PLANS * size)))

    plans, training = plans_at(LEAST_TRAINING), LEAST_TRAINING
    if not fits(plans, training):
        # One plan is trained in full, the others only to be compared.
        fewer = [number for number in range(1, plans + 1) if fits(number, training, 1)]
        return _search(config, baseline, fewer[-1], training) if fewer else None
    size = _largest(lambda size: fits(plans_at(size), size))
    plans = plans_at(size)
    # The number of plans is whole: what it leaves goes to their training.
    training = _largest(lambda training: fits(plans, training))
    return _search(config, baseline, plans, training)


def _largest(fits: Callable[[float], bool]) -> float:
    """Return the largest factor of the training that fits; the least does."""
    low, high = LEAST_TRAINING, MOST_TRAINING
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _search(config: RunConfig, baseline: Baseline, plans: int, training: float) -> Fitted:
    """Return the search with levels that are `training` times those of the settings."""
    usual = training_levels(config, baseline)[0].samples
    first = max(1, round(usual * training))
    others = (config.qat_samples, config.retrain_samples, config.retrain_qat_samples)
    # Multiples of the first: with other ratios there might be one more level.
    return Fitted(plans, first, *(max(1, round(number / usual * first)) for number in others))


def with_levels(config: RunConfig, found: Fitted) -> RunConfig:
    """Return the configuration with the levels that were fitted."""
    levels = {name: value for name, value in vars(found).items() if name != "plans"}
    return build_config(
        {**config.model_dump(mode="json"), "finetune_steps": None, **levels}, [], {}
    )
