"""DB's training targets: the cores of text lines, and thresholds around their borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.text import TextRegion

Map = NDArray[np.float32]

# A line is shrunk by area * (1 - SHRINK_RATIO^2) / perimeter, and its border is as wide (Liao et
# al., AAAI 2020).
SHRINK_RATIO = 0.4
# Range of the threshold map; PaddleOCR's values.
MIN_THRESHOLD, MAX_THRESHOLD = 0.3, 0.7
# Lines that are lower, in pixels, are ignored. A guess.
MIN_HEIGHT = 4.0


class DBTargets(NamedTuple):
    """Maps of shape (h, w), or with a leading axis of samples."""

    cores: Map
    """1 inside the shrunk lines."""
    cores_counted: Map
    """0 where the loss ignores the cores: unreadable and tiny lines."""
    thresholds: Map
    thresholds_counted: Map
    """1 near the lines' borders, where the loss compares thresholds."""


def make_targets(regions: Sequence[TextRegion], height: int, width: int) -> DBTargets:
    """Return the target maps of an image of this size; regions may extend beyond it."""
    maps = DBTargets(*(np.zeros((height, width), np.float32) for _ in DBTargets._fields))
    maps.cores_counted[:] = 1
    for region in regions:
        corners = np.array(region.points, np.float32)
        area, perimeter = cv2.contourArea(corners), cv2.arcLength(corners, True)
        if min(cv2.minAreaRect(corners)[1]) < MIN_HEIGHT or region.is_ignored:
            cv2.fillPoly(maps.cores_counted, [np.rint(corners).astype(np.int32)], 0)
            continue
        _draw(maps, corners, area * (1 - SHRINK_RATIO**2) / perimeter)
    maps.thresholds[:] = MIN_THRESHOLD + (MAX_THRESHOLD - MIN_THRESHOLD) * maps.thresholds
    return maps


def _draw(maps: DBTargets, corners: Map, offset: float) -> None:
    """Draw one line: its core lies deeper than `offset`, its border within `offset` of the edge.

    Distances in a pixel mask replace the paper's polygon offsets.
    """
    height, width = maps.cores.shape
    pad = int(np.ceil(offset)) + 2
    # A window with the line and its border, which may extend beyond the image.
    left, top = np.floor(corners.min(0)).astype(int) - pad
    right, bottom = np.ceil(corners.max(0)).astype(int) + pad + 1
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [np.rint(corners - (left, top)).astype(np.int32)], 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    nearness = 1 - np.minimum(depth + outside, offset) / offset
    rows = slice(max(top, 0), max(min(bottom, height), 0))
    columns = slice(max(left, 0), max(min(right, width), 0))
    window = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    if maps.cores[rows, columns].size == 0:
        return
    core = depth[window] > offset
    maps.cores[rows, columns][core] = 1
    near = maps.thresholds[rows, columns]
    np.maximum(near, nearness[window], out=near)
    maps.thresholds_counted[rows, columns][nearness[window] > 0] = 1
