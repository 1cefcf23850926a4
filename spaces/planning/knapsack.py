"""The plans of least cost for a summed loss: a multiple-choice knapsack over the groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Array
from spaces.planning.cost_model import CostModel
from spaces.planning.settings import DEFAULT_SETTINGS, KnapsackSettings

# Rounding in sums of losses, and the least ratio that counts as a gain. Guesses.
LOSS_TOLERANCE = 1e-12
LEAST_GAIN = 1e-9


def knapsack_front(
    cost: CostModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    prices: Array,
    sweeps: int = KnapsackSettings.sweeps,
) -> Array:
    """Return a plan's ratios for every price, shape (prices, groups).

    `levels` are the ratios each group may take, ascending from 0, and `losses` the loss at each.
    Each plan minimises `cost + price * loss`, the Lagrangian of a multiple-choice knapsack with
    coupled weights: what a group saves depends on its neighbours. So the groups take their best
    level one after another, the others fixed, from the most pruned plan on, until none changes or
    `sweeps` passes are done. All prices are solved at once.
    """
    chosen = np.repeat(np.array([[level[-1] for level in levels]]), len(prices), axis=0)
    for _ in range(sweeps):
        before = chosen.copy()
        for group, (level, loss) in enumerate(zip(levels, losses, strict=True)):
            spent = cost.at_levels(chosen, group, level)
            best = np.argmin(spent + prices[:, None] * loss, axis=1)
            chosen[:, group] = level[best]
        if (chosen == before).all():
            break
    return chosen


def refined(
    cost: CostModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    start: Array,
    limit: float,
    settings: KnapsackSettings = DEFAULT_SETTINGS.knapsack,
    allowed: Callable[[Array], NDArray[np.bool_]] | None = None,
) -> Array:
    """Return ratios, shape (groups,), of less cost than `start` whose losses sum to `limit` at
    most, and which are `allowed`: (plans, groups) to (plans,).

    A front from prices has only the corners of the trade-off; between two corners much of the
    limit may be unused. So one or two groups are moved per step, as long as its cost falls.
    """
    current = start.copy()
    indices = [int(np.argmin(np.abs(level - r))) for level, r in zip(levels, start, strict=True)]
    for _ in range(settings.steps):
        moves = _moves(levels, indices, settings.reach)
        if not moves:
            break
        groups = np.array([group for group, _ in moves])
        ratios = np.array([levels[group][index] for group, index in moves])
        added = np.array(
            [losses[group][index] - losses[group][indices[group]] for group, index in moves]
        )
        spare = limit - sum(loss[index] for loss, index in zip(losses, indices, strict=True))
        single = np.repeat(current[None], len(moves), axis=0)
        single[np.arange(len(moves)), groups] = ratios
        now, *alone = cost.predict(np.vstack([current[None], single]))
        changes, first, second = _pairs(groups, np.array(alone) - now, added, spare)
        best = np.argsort(changes)[: settings.pairs]
        tried = np.repeat(current[None], len(best), axis=0)
        rows = np.arange(len(best))
        tried[rows, groups[first[best]]] = ratios[first[best]]
        tried[rows, groups[second[best]]] = ratios[second[best]]
        found = np.where(np.isfinite(changes[best]), cost.predict(tried), np.inf)
        if allowed is not None:
            found = np.where(allowed(tried), found, np.inf)
        chosen = int(np.argmin(found))
        if not found[chosen] < now - LEAST_GAIN:
            break
        current = tried[chosen]
        for move in (first[best[chosen]], second[best[chosen]]):
            group, index = moves[move]
            indices[group] = index
    return current


def _moves(levels: Sequence[Array], indices: Sequence[int], reach: int) -> list[tuple[int, int]]:
    """Return every (group, other level's index) within `reach` of the present level."""
    return [
        (group, index)
        for group, present in enumerate(indices)
        for index in range(max(0, present - reach), min(len(levels[group]), present + reach + 1))
        if index != present
    ]


def _pairs(
    groups: NDArray[np.int64], changes: Array, added: Array, spare: float
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the summed changes of cost of all pairs of moves, and the two moves of each pair.

    Infinite where the pair adds more loss than `spare`, or moves one group twice. A move paired
    with itself stands for the move alone.
    """
    first, second = np.triu_indices(len(groups))
    alone = first == second
    summed = np.where(alone, changes[first], changes[first] + changes[second])
    loss = np.where(alone, added[first], added[first] + added[second])
    allowed = (loss <= spare + LOSS_TOLERANCE) & (alone | (groups[first] != groups[second]))
    return np.where(allowed, summed, np.inf), first, second
