"""Steps from a corner of the knapsack's front to a plan of less cost within the same loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spaces.branches import Nesting
from spaces.layers import Array
from spaces.planning.cost_model import CostModel
from spaces.planning.settings import DEFAULT_SETTINGS, KnapsackSettings

Indices = NDArray[np.int64]
"""Of the levels that groups have, one for each group in the last axis."""

# Rounding in sums of losses, and the least ratio that counts as a gain. Guesses.
LOSS_TOLERANCE = 1e-12
LEAST_GAIN = 1e-9


def refined(
    cost: CostModel,
    levels: Sequence[Array],
    losses: Sequence[Array],
    start: Array,
    limit: float,
    settings: KnapsackSettings = DEFAULT_SETTINGS.knapsack,
    allowed: Callable[[Array], NDArray[np.bool_]] | None = None,
    nesting: Nesting | None = None,
) -> Array:
    """Return ratios, shape (groups,), of less cost than `start` whose losses sum to `limit` at
    most, and which are `allowed`: (plans, groups) to (plans,).

    A front from prices has only the corners of the trade-off; between two corners much of the
    limit may be unused. So one or two groups are moved per step, as long as its cost falls. A
    branch is removed or restored in a step; it is restored with its groups at the ratios that
    `start` has for them, or all of them some levels from there.
    """
    nesting = Nesting.flat(len(levels)) if nesting is None else nesting
    ratio_of, loss_of = _table(levels), _table(losses)
    groups = np.arange(len(levels))

    def summed(rows: Indices) -> Array:
        """Return the losses of plans without those of groups in removed branches."""
        counts = ~nesting.gone(ratio_of[groups, rows])
        total: Array = (loss_of[groups, rows] * counts).sum(axis=1)
        return total

    current = np.array(
        [np.argmin(np.abs(level - r)) for level, r in zip(levels, start, strict=True)]
    )
    for _ in range(settings.steps):
        moved, rows = _moves(levels, current, settings.reach, nesting)
        if not len(moved):
            break
        now, *alone = cost.predict(ratio_of[groups, np.vstack([current[None], rows])])
        lost, *losing = summed(np.vstack([current[None], rows]))
        changes, first, second = _pairs(
            moved, np.array(alone) - now, np.array(losing) - lost, limit - lost, nesting
        )
        best = np.argsort(changes)[: settings.pairs]
        one, other = rows[first[best]], rows[second[best]]
        tried = np.where(one == current, other, one)
        ratios = ratio_of[groups, tried]
        found = np.where(np.isfinite(changes[best]), cost.predict(ratios), np.inf)
        if allowed is not None:
            found = np.where(allowed(ratios), found, np.inf)
        chosen = int(np.argmin(found))
        if not found[chosen] < now - LEAST_GAIN:
            break
        current = tried[chosen]
    refined_to: Array = ratio_of[groups, current]
    return refined_to


def _table(values: Sequence[Array]) -> Array:
    """Return the values of each group's levels, shape (groups, most levels), the rest 0."""
    table = np.zeros((len(values), max(map(len, values), default=0)))
    for group, own in enumerate(values):
        table[group, : len(own)] = own
    return table


def _moves(
    levels: Sequence[Array], present: Indices, reach: int, nesting: Nesting
) -> tuple[Indices, Indices]:
    """Return the group or branch of every move, and the levels after it, (moves, groups).

    A group moves to any level within `reach`. Nothing moves inside a removed branch.
    """
    ratios = np.array([level[index] for level, index in zip(levels, present, strict=True)])
    last = np.array([len(level) - 1 for level in levels])
    moved, rows = [], []
    gone = nesting.gone(ratios[None])[0]
    for group in np.flatnonzero(~gone):
        low, high = max(0, present[group] - reach), min(last[group], present[group] + reach)
        for index in range(low, high + 1):
            if index == present[group]:
                continue
            row = present.copy()
            row[group] = index
            restores = ratios[group] >= 1
            for changed in _restored(row, group, last, reach, nesting) if restores else [row]:
                moved.append(group)
                rows.append(changed)
    return np.array(moved, np.int64), np.array(rows, np.int64).reshape(-1, len(levels))


def _restored(
    row: Indices, branch: int, last: Indices, reach: int, nesting: Nesting
) -> list[Indices]:
    """Return the levels of a plan with the groups in a branch at theirs, or all of them up to
    `reach` levels from there, none twice."""
    inner = nesting.inside[branch].copy()
    inner[nesting.branches] = False
    found = {}
    for steps in range(-reach, reach + 1):
        shifted = np.where(inner, np.clip(row + steps, 0, last), row)
        found[shifted.tobytes()] = shifted
    return list(found.values())


def _pairs(
    moved: Indices, changes: Array, added: Array, spare: float, nesting: Nesting
) -> tuple[Array, Indices, Indices]:
    """Return the summed changes of cost of all pairs of moves, and the two moves of each pair.

    Infinite where the pair adds more loss than `spare`, moves one group twice, or moves a group and
    a branch around it. A move paired with itself stands for the move alone.
    """
    first, second = np.triu_indices(len(moved))
    alone = first == second
    summed = np.where(alone, changes[first], changes[first] + changes[second])
    loss = np.where(alone, added[first], added[first] + added[second])
    apart = ~nesting.related[moved[first], moved[second]]
    allowed = (loss <= spare + LOSS_TOLERANCE) & (alone | apart)
    return np.where(allowed, summed, np.inf), first, second
