"""COCO's mean average precision, from statistics per image: overlaps are pycocotools'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.detection import Box, Scene

Array = NDArray[np.float64]

# COCO's thresholds of overlap.
IOUS = np.linspace(0.5, 0.95, 10)
# Pascal VOC's threshold of overlap.
VOC_IOUS = np.array([0.5])
# COCO's recalls at which precision is averaged.
RECALLS = np.linspace(0.0, 1.0, 101)
# COCO's maximum of detections per image.
MAX_DETECTIONS = 100
# Columns of a detection in the statistics. From FIRST_IOU on there is one for each threshold: 1 for
# a correct detection, 0 for a wrong one, -1 for one that does not count.
SCORE, CLASS, FIRST_IOU = 0, 1, 2
# Fills the rows of an image without a detection.
NO_DETECTION = -2.0


@dataclass(frozen=True)
class Detection:
    label: int
    score: float
    left: float
    top: float
    right: float
    bottom: float
    mask: Any = None
    """pycocotools' run-length encoding over the whole image; None without masks."""


Sizes = Sequence[tuple[float, float]]
"""Height and width of each image in the network's input."""
Overlap = Callable[[Sequence[Detection], Sequence[Box]], Array]


def box_overlap(found: Sequence[Detection], wanted: Sequence[Box]) -> Array:
    """Return the IoU of every detection's box with every box, shape (found, wanted).

    For a hard box it is the share of the detection inside the box, as for COCO's crowds.
    """
    from pycocotools.mask import iou

    corners = ([_corner_and_size(item) for item in items] for items in (found, wanted))
    overlap: Array = iou(*corners, [int(box.hard) for box in wanted])
    return overlap


def mask_overlap(found: Sequence[Detection], wanted: Sequence[Box], size: tuple[int, int]) -> Array:
    """Return the IoU of every detection's mask with every box's polygons, shape (found, wanted).

    `size` is the image's height and width. A box without polygons is a rectangle.
    """
    from pycocotools.mask import frPyObjects, iou, merge

    truth = [merge(frPyObjects(_outlines(box), *size)) for box in wanted]
    crowds = [int(box.hard) for box in wanted]
    overlap: Array = iou([detection.mask for detection in found], truth, crowds)
    return overlap


class MeanAveragePrecision:
    """Average precision over 101 recalls, mean over the classes and the IoU thresholds `ious`.

    COCO averages over IoU 0.5 to 0.95; Pascal VOC (VOC_IOUS) takes 0.5 alone.
    """

    maximize = True

    def __init__(
        self,
        classes: int,
        detect: Callable[[Sequence[np.ndarray], Sizes], list[list[Detection]]],
        ious: Array = IOUS,
        overlap: Overlap = box_overlap,
        name: str = "mean_average_precision",
    ) -> None:
        """`detect` turns the model's outputs and the images' sizes into a list of detections per
        image; `overlap` gives the IoU of detections with the boxes to be found."""
        self.classes = classes
        self.detect = detect
        self.ious = np.asarray(ious)
        self.overlap = overlap
        self.name = name

    def sample_statistics(
        self, outputs: Sequence[np.ndarray], targets: Sequence[Scene]
    ) -> list[Array]:
        """Return an array per image, shape (1 + MAX_DETECTIONS, columns).

        Row 0 has the number of boxes by class in its first entries; the other rows are detections
        by falling score, padded with NO_DETECTION.
        """
        detected = self.detect(outputs, [scene.size for scene in targets])
        return [
            self._matched(found, scene.boxes)
            for found, scene in zip(detected, targets, strict=True)
        ]

    def _matched(self, found: Sequence[Detection], boxes: Sequence[Box]) -> Array:
        rows = np.zeros((1 + MAX_DETECTIONS, max(self.classes, FIRST_IOU + len(self.ious))))
        rows[1:] = NO_DETECTION
        chosen = sorted(found, key=lambda d: -d.score)[:MAX_DETECTIONS]
        for box in boxes:
            rows[0, box.label] += not box.hard
        for label in {detection.label for detection in chosen}:
            rows_of_label = [i for i, d in enumerate(chosen) if d.label == label]
            # Hard boxes come last, so that they are matched only if no other box is left.
            wanted = sorted((b for b in boxes if b.label == label), key=lambda b: b.hard)
            hard = np.array([box.hard for box in wanted], bool)
            overlap = np.zeros((len(rows_of_label), len(wanted)))
            if wanted:
                overlap = self.overlap([chosen[i] for i in rows_of_label], wanted)
            for column, least in enumerate(self.ious):
                taken = np.zeros(len(wanted), bool)
                for row, index in enumerate(rows_of_label):
                    match = _best(overlap[row], least, taken, hard)
                    rows[1 + index, SCORE] = chosen[index].score
                    rows[1 + index, CLASS] = label
                    outcome = 0.0
                    if match is not None:
                        taken[match] = True
                        outcome = -1.0 if hard[match] else 1.0
                    rows[1 + index, FIRST_IOU + column] = outcome
        return rows

    def aggregate(self, statistics: np.ndarray) -> float:
        """Return the mean over the classes that have boxes; 0 without any."""
        wanted = statistics[:, 0, : self.classes].sum(0)
        found = statistics[:, 1:].reshape(-1, statistics.shape[2])
        found = found[found[:, CLASS] >= 0]
        # A stable sort, as pycocotools': equal scores stay in the order of the images.
        found = found[np.argsort(-found[:, SCORE], kind="mergesort")]
        values = [
            self._average(found[found[:, CLASS] == label], count)
            for label, count in enumerate(wanted)
            if count > 0
        ]
        return float(np.mean(values)) if values else 0.0

    def _average(self, found: Array, count: float) -> float:
        averages = []
        for column in range(len(self.ious)):
            outcome = found[:, FIRST_IOU + column]
            outcome = outcome[outcome >= 0]
            right, wrong = np.cumsum(outcome == 1), np.cumsum(outcome == 0)
            recall = right / count
            precision = right / np.maximum(right + wrong, 1)
            # The highest precision at this recall or a higher one.
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            at = np.searchsorted(recall, RECALLS, side="left")
            reached = at < len(envelope)
            averages.append(np.where(reached, np.append(envelope, 0.0)[at], 0.0).mean())
        return float(np.mean(averages))


def _corner_and_size(box: Any) -> list[float]:
    return [box.left, box.top, box.right - box.left, box.bottom - box.top]


def _outlines(box: Box) -> list[list[float]]:
    if box.polygons:
        return [list(polygon) for polygon in box.polygons]
    corners = [box.left, box.top, box.right, box.top, box.right, box.bottom, box.left, box.bottom]
    return [corners]


def _best(overlap: Array, least: float, taken: NDArray[Any], hard: NDArray[Any]) -> int | None:
    """Return the index of the box that a detection matches: the one with the largest overlap.

    A box that counts is preferred to a hard one. None if no overlap reaches `least`.
    """
    best, chosen = min(least, 1 - 1e-10), None
    for index, value in enumerate(overlap):
        # A hard box can be matched by several detections.
        if taken[index] and not hard[index]:
            continue
        if chosen is not None and not hard[chosen] and hard[index]:
            break
        if value >= best:
            best, chosen = value, index
    return chosen
