"""The least summed loss for a latency: how much of every group to remove, along the whole front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spaces.layers import Array
from spaces.planning.latency_model import BLOCK, LatencyModel

SWEEPS = 6
# What `improved` tries: a group this many levels up or down, two groups at a time, and of all such
# pairs the ones that seem best one by one; so often.
REACH = 3
PAIRS = 32
STEPS = 20


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


def improved(
    latency: LatencyModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    start: Array,
    limit: float,
) -> Array:
    """Return ratios, shape (groups,), faster than `start` whose losses sum to `limit` at most.

    A front from prices has only the corners of the trade-off; between two of them much of a limit
    may be left over. So groups are moved, two at a time, as long as that makes the plan faster.
    """
    current = start.copy()
    places = [int(np.argmin(np.abs(level - r))) for level, r in zip(levels, start, strict=True)]
    for _ in range(STEPS):
        moves = [
            (group, there)
            for group, here in enumerate(places)
            for there in range(max(0, here - REACH), min(len(levels[group]), here + REACH + 1))
            if there != here
        ]
        if not moves:
            break
        groups = np.array([group for group, _ in moves])
        ratios = np.array([levels[group][there] for group, there in moves])
        more = np.array(
            [losses[group][there] - losses[group][places[group]] for group, there in moves]
        )
        spare = limit - sum(loss[place] for loss, place in zip(losses, places, strict=True))
        single = np.repeat(current[None], len(moves), axis=0)
        single[np.arange(len(moves)), groups] = ratios
        now, *alone = latency.predict(np.vstack([current[None], single]))
        gains = np.array(alone) - now
        # A move with itself stands for the move alone.
        one, other = np.triu_indices(len(moves))
        same = one == other
        both = np.where(same, gains[one], gains[one] + gains[other])
        allowed = np.where(same, more[one], more[one] + more[other]) <= spare + 1e-12
        allowed &= same | (groups[one] != groups[other])
        both[~allowed] = np.inf
        best = np.argsort(both)[:PAIRS]
        tried = np.repeat(current[None], len(best), axis=0)
        rows = np.arange(len(best))
        tried[rows, groups[one[best]]] = ratios[one[best]]
        tried[rows, groups[other[best]]] = ratios[other[best]]
        found = np.where(np.isfinite(both[best]), latency.predict(tried), np.inf)
        chosen = int(np.argmin(found))
        if not found[chosen] < now - 1e-9:
            break
        current = tried[chosen]
        for move in (one[best[chosen]], other[best[chosen]]):
            places[moves[move][0]] = moves[move][1]
    return current
