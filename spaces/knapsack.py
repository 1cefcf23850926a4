"""The least summed loss for a latency: how much of every group to remove, along the whole front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spaces.latency_model import BLOCK, LatencyModel
from spaces.layers import Array

SWEEPS = 6


def knapsack_front(
    latency: LatencyModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    prices: Array,
) -> Array:
    """Return a plan's ratios for every price, shape (prices, groups).

    `levels` are the ratios each group may take, ascending from 0, and `losses` what each
    costs. Each plan minimises `latency + price * loss`, the Lagrangian of a multiple-choice
    knapsack whose weights are coupled: what a group saves depends on its neighbours. So
    group after group takes its best level while the others stay, from the most
    pruned plan on, until none moves; all prices at once.
    """
    costs = latency.costs
    count = len(costs.layers)
    compute = latency.coefficients[1 : count + 1]
    traffic = latency.coefficients[count + 1 :]
    chosen = np.repeat(np.array([[level[-1] for level in levels]]), len(prices), axis=0)
    touched = [costs.layers_of(group) for group in range(len(levels))]
    for _ in range(SWEEPS):
        before = chosen.copy()
        for group, (level, loss) in enumerate(zip(levels, losses, strict=True)):
            part = touched[group]
            # Shape (prices, levels, layers of the group).
            work, written = costs.left_with(chosen, group, level, part, BLOCK)
            spent = work @ compute[part] + written @ traffic[part]
            best = np.argmin(spent + prices[:, None] * loss, axis=1)
            chosen[:, group] = level[best]
        if (chosen == before).all():
            break
    return chosen
