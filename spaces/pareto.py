"""The Pareto front and its hypervolume over (metric loss, latency ratio)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Shape (n, 2); both columns are minimised."""


def front_indices(points: Points) -> list[int]:
    """Return the indices of the non-dominated points, by ascending second column.

    Only the first of several equal points is on the front.
    """
    order = np.lexsort((np.arange(len(points)), points[:, 0], points[:, 1]))
    losses = points[order, 0]
    # The least loss of all points before each one.
    before = np.fmin.accumulate(np.concatenate([[np.inf], losses]))[:-1]
    chosen: list[int] = order[losses < before].tolist()
    return chosen


def hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """Return the area that the points dominate within `reference`, 0 or more.

    A point at or beyond the reference in either column adds nothing.
    """
    inside = points[(points[:, 0] < reference[0]) & (points[:, 1] < reference[1])]
    area, right = 0.0, reference[0]
    for index in front_indices(inside):
        loss, latency = inside[index]
        area += (right - loss) * (reference[1] - latency)
        right = loss
    return float(area)
