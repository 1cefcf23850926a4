"""Regions of text from the network's map, and the metric that compares them with the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.text import TextRegion

Array = NDArray[np.float32]

# A found region is ignored if more of its area than this is in an ignored one (ICDAR 2015).
IGNORED_FRACTION = 0.5


@dataclass(frozen=True)
class RegionFinder:
    """Finds boxes of text in the map of a DB network (Liao et al., AAAI 2020).

    The network marks shrunk cores of lines. A box around a core is expanded by its area *
    `unclip_ratio` / its perimeter. The defaults are PaddleOCR's.
    """

    threshold: float = 0.3
    score_threshold: float = 0.6
    unclip_ratio: float = 1.5
    min_side: float = 3.0

    def find(self, probability: Array) -> list[Array]:
        """Return each region's four corners, shape (4, 2) as (x, y), in a map (h, w)."""
        cores = (probability > self.threshold).astype(np.uint8)
        contours, _ = cv2.findContours(cores, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in contours:
            (x, y), (width, height), angle = cv2.minAreaRect(contour)
            if min(width, height) < self.min_side:
                continue
            corners = cv2.boxPoints(((x, y), (width, height), angle))
            if _mean_inside(probability, corners) < self.score_threshold:
                continue
            more = self.unclip_ratio * width * height / (width + height)
            expanded = ((x, y), (width + more, height + more), angle)
            if min(expanded[1]) >= self.min_side + 2:
                found.append(cv2.boxPoints(expanded))
        return found


def _mean_inside(probability: Array, corners: Array) -> float:
    height, width = probability.shape
    left, top = np.clip(np.floor(corners.min(0)), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, (width - 1, height - 1)).astype(int)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def _shared(one: Array, other: Array) -> float:
    """Return the area of the intersection of two convex polygons."""
    return float(cv2.intersectConvexConvex(one, other)[0])


def _hull(region: TextRegion) -> Array:
    hull: Array = cv2.convexHull(np.array(region.points, np.float32)).reshape(-1, 2)
    return hull


class HarmonicMean:
    """ICDAR 2015's harmonic mean of precision and recall; a match needs IoU above `min_overlap`."""

    name = "hmean"
    maximize = True

    def __init__(self, finder: RegionFinder | None = None, min_overlap: float = 0.5) -> None:
        self.finder = finder or RegionFinder()
        self.min_overlap = min_overlap

    def sample_statistics(
        self, outputs: Sequence[np.ndarray], targets: Sequence[Sequence[TextRegion]]
    ) -> Array:
        """Return each image's numbers of matched, found and labelled regions, shape (n, 3).

        `outputs[0]` is the map of text, shape (n, 1 or more, h, w); `targets` are the regions of
        each image in pixels of that map.
        """
        return np.array(
            [
                self._matched(self.finder.find(np.ascontiguousarray(maps[0], np.float32)), regions)
                for maps, regions in zip(outputs[0], targets, strict=True)
            ],
            np.float32,
        )

    def _matched(self, found: Sequence[Array], regions: Sequence[TextRegion]) -> list[int]:
        wanted = [_hull(region) for region in regions if not region.is_ignored]
        ignored = [_hull(region) for region in regions if region.is_ignored]
        counted = [
            one
            for one in found
            if not any(
                _shared(one, other) > IGNORED_FRACTION * cv2.contourArea(one) for other in ignored
            )
        ]
        free = list(range(len(counted)))
        matched = 0
        for region in wanted:
            for index in free:
                shared = _shared(counted[index], region)
                union = cv2.contourArea(counted[index]) + cv2.contourArea(region) - shared
                if shared > self.min_overlap * union:
                    free.remove(index)
                    matched += 1
                    break
        return [matched, len(counted), len(wanted)]

    def aggregate(self, statistics: Any) -> float:
        """Return the harmonic mean over all images; 1 without any labelled or found region."""
        matched, found, wanted = np.asarray(statistics, float).sum(0)
        return float(2 * matched / (found + wanted)) if found + wanted else 1.0
