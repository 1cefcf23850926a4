"""Boxes from the maps of a YOLOv3 head (Redmon and Farhadi, 2018), in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.average_precision import MOST_DETECTIONS, Detection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class YoloDecoder:
    """What turns maps into boxes. The defaults are PaddleDetection's."""

    anchors: Sequence[Sequence[tuple[float, float]]]
    """Widths and heights in pixels, for every map."""
    strides: Sequence[int]
    """Pixels of the image to a place of every map."""
    classes: int
    least_score: float = 0.01
    overlap: float = 0.45
    """Of two boxes of a class that overlap more, the one of lower score goes."""
    candidates: int = 1000

    def detections(self, maps: Sequence[NDArray[Any]]) -> list[list[Detection]]:
        """Return the boxes of each image, by falling score, in pixels of the network's input.

        `maps` have shape (n, anchors * (5 + classes), rows, columns).
        """
        parts = [
            self._decode(one, anchors, stride)
            for one, anchors, stride in zip(maps, self.anchors, self.strides, strict=True)
        ]
        boxes = np.concatenate([box for box, _ in parts], axis=1)
        scores = np.concatenate([score for _, score in parts], axis=1)
        return [self._kept(*image) for image in zip(boxes, scores, strict=True)]

    def _decode(
        self, one: NDArray[Any], anchors: Sequence[tuple[float, float]], stride: int
    ) -> tuple[Array, Array]:
        """Return corners (n, places, 4) and scores (n, places, classes)."""
        samples, _, rows, columns = one.shape
        shape = (samples, len(anchors), 5 + self.classes, rows, columns)
        x, y, wide, high, sure, *kinds = np.moveaxis(one.reshape(shape).astype("f8"), 2, 0)
        center_x = (_sigmoid(x) + np.arange(columns)) * stride
        center_y = (_sigmoid(y) + np.arange(rows)[:, None]) * stride
        sizes = np.array(anchors, float)[:, :, None, None]
        # Beyond this a box is larger than any image.
        half_width = np.exp(np.minimum(wide, 10)) * sizes[:, 0] / 2
        half_height = np.exp(np.minimum(high, 10)) * sizes[:, 1] / 2
        corners = np.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            axis=-1,
        )
        limits = (columns * stride, rows * stride) * 2
        corners = np.clip(corners, 0, limits).reshape(samples, -1, 4)
        scores = _sigmoid(sure)[..., None] * _sigmoid(np.stack(kinds, axis=-1))
        return corners, scores.reshape(samples, -1, self.classes)

    def _kept(self, boxes: Array, scores: Array) -> list[Detection]:
        found = []
        for label in range(self.classes):
            chosen = np.flatnonzero(scores[:, label] > self.least_score)
            chosen = chosen[np.argsort(-scores[chosen, label], kind="stable")][: self.candidates]
            for index in _suppressed(boxes[chosen], self.overlap):
                place = chosen[index]
                found.append(
                    Detection(label, float(scores[place, label]), *map(float, boxes[place]))
                )
        return sorted(found, key=lambda d: -d.score)[:MOST_DETECTIONS]


def _sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    return result


def _suppressed(boxes: Array, overlap: float) -> list[int]:
    """Return the places of boxes, best first, that no better one overlaps too much."""
    kept: list[int] = []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = areas[best] + areas[left] - shared
        left = left[shared <= overlap * np.maximum(union, 1e-12)]
    return kept
