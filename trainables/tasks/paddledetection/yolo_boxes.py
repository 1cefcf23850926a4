"""Boxes from the maps of a YOLOv3 head (Redmon and Farhadi, 2018) or of PP-YOLO's (Long et al.,
2020), in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import TaskError
from trainables.metrics.average_precision import MAX_DETECTIONS, Detection

Array = NDArray[np.float64]

# Overlaps of so many candidates of a class are held at once: 32 MB.
MOST_CANDIDATES = 2000
# What of the configuration is understood. The others of an entry are PaddleDetection's own ways to
# export a model, which change no box.
HEAD = {"anchors", "anchor_masks", "loss", "iou_aware", "iou_aware_factor", "num_classes"}
HEAD |= {"data_format", "in_channels"}
DECODE = {"conf_thresh", "downsample_ratio", "clip_bbox", "scale_x_y", "num_classes"}
BOTH = {"score_threshold", "nms_top_k", "keep_top_k", "normalized", "background_label"}
NMS = {
    "MultiClassNMS": {*BOTH, "nms_threshold", "nms_eta", "return_index", "return_rois_num", "trt"},
    "MatrixNMS": {*BOTH, "post_threshold", "use_gaussian", "gaussian_sigma"},
}


@dataclass(frozen=True)
class YoloDecoder:
    """What turns maps into boxes. The defaults are PaddleDetection's."""

    anchors: Sequence[Sequence[tuple[float, float]]]
    """Widths and heights in pixels, for every map."""
    strides: Sequence[int]
    """Pixels of the image to a place of every map."""
    classes: int
    least_score: float = 0.01
    least_objectness: float = 0.005
    overlap: float = 0.45
    """Of two boxes of a class that overlap more, the one of lower score goes."""
    candidates: int = 1000
    """Boxes of a class that are compared; -1: all."""
    most: int = MAX_DETECTIONS
    """Boxes of an image that are kept; -1: all."""
    scale_x_y: float = 1.0
    """How far a center may leave its place: above 1 it can reach the border (Bochkovskiy et al.,
    2020)."""
    iou_aware_factor: float | None = None
    """The weight of the predicted IoU in a box's objectness; None: the maps have none."""
    decayed: bool = False
    """Matrix NMS (Wang et al., 2020): overlaps lower a score and remove no box."""
    least_decayed_score: float = 0.01
    gaussian_sigma: float | None = None
    """Of the decay; None: it is linear."""
    background: int = -1
    """A class that is not looked for; -1: none."""
    extra_pixel: float = 0.0
    """Added to widths and heights where overlaps are taken."""

    def detections(self, maps: Sequence[NDArray[Any]]) -> list[list[Detection]]:
        """Return the boxes of each image, by falling score, in pixels of the network's input.

        `maps` have shape (n, anchors * (5 + classes), rows, columns), with predicted IoUs
        (n, anchors, rows, columns) before them.
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
        predicted_iou = None
        if self.iou_aware_factor is not None:
            predicted_iou = _sigmoid(one[:, : len(anchors)].astype("f8"))
            one = one[:, len(anchors) :]
        shape = (samples, len(anchors), 5 + self.classes, rows, columns)
        x, y, wide, high, sure, *kinds = np.moveaxis(one.reshape(shape).astype("f8"), 2, 0)
        shift = (self.scale_x_y - 1) / 2
        center_x = (_sigmoid(x) * self.scale_x_y - shift + np.arange(columns)) * stride
        center_y = (_sigmoid(y) * self.scale_x_y - shift + np.arange(rows)[:, None]) * stride
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
        # The last pixel, as the toolkit has it.
        limits = (columns * stride - 1, rows * stride - 1) * 2
        corners = np.clip(corners, 0, limits).reshape(samples, -1, 4)
        objectness = _sigmoid(sure)
        if predicted_iou is not None and self.iou_aware_factor is not None:
            factor = self.iou_aware_factor
            objectness = objectness ** (1 - factor) * predicted_iou**factor
        objectness = np.where(objectness < self.least_objectness, 0, objectness)
        scores = objectness[..., None] * _sigmoid(np.stack(kinds, axis=-1))
        return corners, scores.reshape(samples, -1, self.classes)

    def _kept(self, boxes: Array, scores: Array) -> list[Detection]:
        found = []
        for label in range(self.classes):
            if label == self.background:
                continue
            chosen = np.flatnonzero(scores[:, label] > self.least_score)
            chosen = chosen[np.argsort(-scores[chosen, label], kind="stable")]
            chosen = chosen[: self.candidates if self.candidates >= 0 else None]
            for place, score in self._of_class(chosen, boxes, scores[:, label]):
                found.append(Detection(label, score, *map(float, boxes[place])))
        return sorted(found, key=lambda d: -d.score)[: self.most if self.most >= 0 else None]

    def _of_class(self, chosen: Any, boxes: Array, scores: Array) -> list[tuple[int, float]]:
        """Return which boxes of a class are kept, and with which scores."""
        if not self.decayed:
            kept = _suppressed(boxes[chosen], self.overlap, self.extra_pixel)
            return [(chosen[index], float(scores[chosen[index]])) for index in kept]
        chosen = chosen[:MOST_CANDIDATES]
        lower = scores[chosen] * _decay(boxes[chosen], self.gaussian_sigma, self.extra_pixel)
        pairs = zip(chosen, map(float, lower), strict=True)
        return [(place, score) for place, score in pairs if score > self.least_decayed_score]


def decoder_of(
    head: Mapping[str, Any], decode: Mapping[str, Any], nms: Mapping[str, Any], classes: int
) -> YoloDecoder:
    """Return the decoder of a configuration's `YOLOv3Head` and `BBoxPostProcess`.

    Raises TaskError for a key that is not understood.
    """
    kind = str(nms.get("name", "MultiClassNMS"))
    if kind not in NMS:
        raise TaskError(f"BBoxPostProcess: nms {kind} is not known here; {' and '.join(NMS)} are")
    known = (("YOLOv3Head", head, HEAD), ("decode", decode, DECODE))
    for name, entry, keys in (*known, (kind, nms, NMS[kind])):
        unknown = set(entry) - keys - {"name"}
        if unknown:
            raise TaskError(f"{name}: {min(unknown)!r} is not understood here; remove it")
    for name, value, only in (
        ("clip_bbox", decode.get("clip_bbox", True), True),
        ("nms_eta", nms.get("nms_eta", 1.0), 1.0),
    ):
        if value != only:
            raise TaskError(f"BBoxPostProcess: {name} {value} is not understood here; {only} is")
    anchors = [[tuple(head["anchors"][i]) for i in mask] for mask in head["anchor_masks"]]
    coarsest = int(decode.get("downsample_ratio", 32))
    matrix = kind == "MatrixNMS"
    default = 0.05
    return YoloDecoder(
        anchors,
        [coarsest // 2**level for level in range(len(anchors))],
        classes,
        least_score=nms.get("score_threshold", default),
        least_objectness=decode.get("conf_thresh", YoloDecoder.least_objectness),
        overlap=nms.get("nms_threshold", 0.5),
        candidates=nms.get("nms_top_k", -1),
        most=nms.get("keep_top_k", 100),
        scale_x_y=decode.get("scale_x_y", 1.0),
        iou_aware_factor=head.get("iou_aware_factor", 0.4) if head.get("iou_aware") else None,
        decayed=matrix,
        least_decayed_score=nms.get("post_threshold", default),
        background=nms.get("background_label", 0) if matrix else -1,
        gaussian_sigma=nms.get("gaussian_sigma", 2.0) if nms.get("use_gaussian") else None,
        extra_pixel=0.0 if nms.get("normalized", not matrix) else 1.0,
    )


def _sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    return result


def _overlaps(box: Array, others: Array, extra: float) -> Array:
    """Return the IoU of boxes (..., 4) with others."""
    low = np.maximum(box[..., :2], others[..., :2])
    high = np.minimum(box[..., 2:], others[..., 2:])
    shared = np.prod(np.where(high < low, 0, high - low + extra), axis=-1)
    areas = [np.prod(of[..., 2:] - of[..., :2] + extra, axis=-1) for of in (box, others)]
    result: Array = shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)
    return result


def _suppressed(boxes: Array, overlap: float, extra: float) -> list[int]:
    """Return the places of boxes, best first, that no better one overlaps too much."""
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[_overlaps(boxes[best], boxes[left], extra) <= overlap]
    return kept


def _decay(boxes: Array, sigma: float | None, extra: float) -> Array:
    """Return what the score of each box, best first, is multiplied by: the least, over the better
    ones, of a decay by the overlap with it, relative to its own greatest with one better still."""
    if not len(boxes):
        return np.ones(0)
    overlaps = np.triu(_overlaps(boxes[:, None], boxes[None], extra), 1)
    greatest = overlaps.max(axis=0)[:, None]
    if sigma is None:
        decays = (1 - overlaps) / np.maximum(1 - greatest, 1e-12)
    else:
        decays = np.exp((greatest**2 - overlaps**2) * sigma)
    better = np.triu(np.ones(overlaps.shape, bool), 1)
    result: Array = np.where(better, decays, 1.0).min(axis=0)
    return result
