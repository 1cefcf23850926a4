"""The plans of least cost for a summed loss: a knapsack over groups and branches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spaces.branches import Nesting
from spaces.layers import Array
from spaces.planning.cost_model import CostModel
from spaces.planning.settings import KnapsackSettings


def knapsack_front(
    cost: CostModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    prices: Array,
    sweeps: int = KnapsackSettings.sweeps,
    nesting: Nesting | None = None,
) -> Array:
    """Return a plan's ratios for every price, shape (prices, groups).

    `levels` are the ratios each group may take, ascending from 0, and `losses` the loss at each.
    Each plan minimises `cost + price * loss`, the Lagrangian of a multiple-choice knapsack with
    coupled weights: what a group saves depends on its neighbours. So the groups take their best
    level one after another, the others fixed, from the most pruned plan on, until none changes or
    `sweeps` passes are done. All prices are solved at once.

    A group inside a branch takes the level that is best while the branch is present; then a branch
    is removed if its own loss and what is left cost less than the branch with its groups at these
    levels. So a removed branch can come back, and its groups have ratios in the result that count
    if it does. With branches there is a second start, from the most pruned plan with all of them;
    each price takes the better of both results.
    """
    nesting = Nesting.flat(len(levels)) if nesting is None else nesting
    start = np.array([level[-1] for level in levels])
    found = _descended(cost, levels, losses, prices, sweeps, nesting, start)
    if not len(nesting.branches):
        return found[0]
    start[nesting.branches] = 0.0
    other = _descended(cost, levels, losses, prices, sweeps, nesting, start)
    better = _lagrangian(cost, other, prices, nesting) < _lagrangian(cost, found, prices, nesting)
    return np.where(better[:, None], other[0], found[0])


def _lagrangian(
    cost: CostModel, found: tuple[Array, Array], prices: Array, nesting: Nesting
) -> Array:
    """Return `cost + price * loss` of ratios whose groups lose so much, shape (prices,)."""
    ratios, lost = found
    summed: Array = cost.predict(ratios) + prices * (lost * ~nesting.gone(ratios)).sum(axis=1)
    return summed


def _descended(
    cost: CostModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    prices: Array,
    sweeps: int,
    nesting: Nesting,
    start: Array,
) -> tuple[Array, Array]:
    """Return the ratios that coordinate descent ends at, and the loss of each group there.

    Both have shape (prices, groups).
    """
    chosen = np.repeat(start[None], len(prices), axis=0)
    lost = np.zeros_like(chosen)
    for _ in range(sweeps):
        before = chosen.copy()
        for group in nesting.inner_first:
            level, loss = levels[group], losses[group][None]
            # As if all branches around the group were present.
            around = nesting.inside[:, group]
            row = np.where(around, 0.0, chosen) if around.any() else chosen
            spent = cost.at_levels(row, group, level)
            if nesting.inside[group].any():
                loss = _branch_losses(group, loss, row, lost, nesting)
            best = np.argmin(spent + prices[:, None] * loss, axis=1)
            chosen[:, group] = level[best]
            lost[:, group] = losses[group][best]
        if (chosen == before).all():
            break
    return chosen, lost


def _branch_losses(branch: int, loss: Array, ratios: Array, lost: Array, nesting: Nesting) -> Array:
    """Return what a branch loses at each of its levels, shape (prices, levels).

    While it is present, the groups inside it lose what they do at their ratios.
    """
    inner = nesting.inside[branch]
    losses = np.repeat(loss, len(ratios), axis=0)
    losses[:, 0] += (lost[:, inner] * ~nesting.gone_in(branch, ratios)).sum(axis=1)
    return losses
