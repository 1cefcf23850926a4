"""What DB learns from: the cores of lines, and thresholds around their borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.text import TextRegion

Map = NDArray[np.float32]

# The paper's: a line is shrunk by its area * (1 - SHRINK^2) / perimeter, and its border is as wide.
SHRINK = 0.4
LOWEST, HIGHEST = 0.3, 0.7
# Lines lower than this many pixels teach nothing.
LEAST_HEIGHT = 4.0


class DBTargets(NamedTuple):
    """Maps of shape (h, w), or with a leading axis of samples."""

    cores: Map
    """1 inside the shrunk lines."""
    cores_counted: Map
    """0 where nothing is asked: unreadable and tiny lines."""
    thresholds: Map
    thresholds_counted: Map
    """1 near the lines' borders."""


def make_targets(regions: Sequence[TextRegion], height: int, width: int) -> DBTargets:
    """Return the maps of an image of this size; corners beyond it are allowed."""
    maps = DBTargets(*(np.zeros((height, width), np.float32) for _ in DBTargets._fields))
    maps.cores_counted[:] = 1
    for region in regions:
        corners = np.array(region.points, np.float32)
        area, perimeter = cv2.contourArea(corners), cv2.arcLength(corners, True)
        if min(cv2.minAreaRect(corners)[1]) < LEAST_HEIGHT or region.is_ignored:
            cv2.fillPoly(maps.cores_counted, [np.rint(corners).astype(np.int32)], 0)
            continue
        _draw(maps, corners, area * (1 - SHRINK**2) / perimeter)
    maps.thresholds[:] = LOWEST + (HIGHEST - LOWEST) * maps.thresholds
    return maps


def _draw(maps: DBTargets, corners: Map, reach: float) -> None:
    """Add one line: what lies deeper than `reach` is core, what is closer to its border, border.

    Distances from a mask of pixels stand in for the polygon offsets of the paper.
    """
    height, width = maps.cores.shape
    pad = int(np.ceil(reach)) + 2
    # In a window that holds the line and its border, also beyond the image.
    left, top = np.floor(corners.min(0)).astype(int) - pad
    right, bottom = np.ceil(corners.max(0)).astype(int) + pad + 1
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [np.rint(corners - (left, top)).astype(np.int32)], 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    nearness = 1 - np.minimum(depth + outside, reach) / reach
    rows = slice(max(top, 0), max(min(bottom, height), 0))
    columns = slice(max(left, 0), max(min(right, width), 0))
    there = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    if maps.cores[rows, columns].size == 0:
        return
    core = depth[there] > reach
    maps.cores[rows, columns][core] = 1
    near = maps.thresholds[rows, columns]
    np.maximum(near, nearness[there], out=near)
    maps.thresholds_counted[rows, columns][nearness[there] > 0] = 1
