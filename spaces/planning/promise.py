"""What a plan promises: its gain in cost, times its chance to keep the budget."""

from __future__ import annotations

from math import erf

import numpy as np

from spaces.layers import Array


def chances_within(losses: Array, errors: Array, limits: Array | float) -> Array:
    """Return the probabilities that losses are within their limits, each 0 to 1, shape (plans,).

    Each loss has a normal distribution of this mean and standard deviation; with an error
    of 0 the loss is exact.
    """
    spare = np.asarray(limits - losses, float)
    exact = np.where(spare >= 0, np.inf, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(errors > 0, spare / errors, exact)
    return np.array([0.5 * (1 + erf(z / 2**0.5)) for z in deviations])


def promises(costs: Array, chances: Array, incumbent: float) -> Array:
    """Return the expected gain of plans in cost, 0 or more, shape (plans,).

    The gain over the best plan that is believed to keep the budget (`incumbent`), times the
    chance to keep it (constrained expected improvement; Gardner et al., 2014).
    """
    promised: Array = chances * np.maximum(0.0, incumbent - costs)
    return promised
