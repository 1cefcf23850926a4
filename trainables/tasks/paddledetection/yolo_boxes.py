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

# Most candidates of a class in Matrix NMS: their overlaps take 32 MB.
MAX_CANDIDATES = 2000
# Supported keys of YOLOv3Head.
HEAD = {"anchors", "anchor_masks", "loss", "iou_aware", "iou_aware_factor", "num_classes"}
HEAD |= {"data_format", "in_channels"}
# Supported keys of YOLOBox.
DECODE = {"conf_thresh", "downsample_ratio", "clip_bbox", "scale_x_y", "num_classes"}
# Supported keys of both kinds of NMS.
BOTH = {"score_threshold", "nms_top_k", "keep_top_k", "normalized", "background_label"}
# Supported keys of each kind of NMS. Those for PaddleDetection's own export change no box.
NMS = {
    "MultiClassNMS": {*BOTH, "nms_threshold", "nms_eta", "return_index", "return_rois_num", "trt"},
    "MatrixNMS": {*BOTH, "post_threshold", "use_gaussian", "gaussian_sigma"},
}


@dataclass(frozen=True)
class YoloDecoder:
    """Computes boxes from maps. The defaults are PaddleDetection's."""

    anchors: Sequence[Sequence[tuple[float, float]]]
    """Widths and heights in pixels, by map."""
    strides: Sequence[int]
    """Pixels of the input per cell, by map."""
    classes: int
    score_threshold: float = 0.01
    objectness_threshold: float = 0.005
    nms_threshold: float = 0.45
    """Maximum IoU of two boxes of a class; above it the one with the lower score is removed."""
    nms_top_k: int = 1000
    """Boxes of a class that enter NMS; -1: all."""
    keep_top_k: int = MAX_DETECTIONS
    """Boxes of an image after NMS; -1: all."""
    scale_x_y: float = 1.0
    """Above 1, a box's centre can reach its cell's border (Bochkovskiy et al., 2020)."""
    iou_aware_factor: float | None = None
    """Weight of the predicted IoU in a box's objectness; None: the maps do not predict it."""
    matrix_nms: bool = False
    """Matrix NMS (Wang et al., 2020): overlaps lower scores instead of removing boxes."""
    post_threshold: float = 0.01
    """Minimum score after Matrix NMS."""
    gaussian_sigma: float | None = None
    """Of Matrix NMS's decay; None: linear decay."""
    background: int = -1
    """A class that is skipped; -1: none."""
    extra_pixel: float = 0.0
    """Added to widths and heights when IoUs are computed."""

    def detections(self, maps: Sequence[NDArray[Any]]) -> list[list[Detection]]:
        """Return the boxes of each image by descending score, in pixels of the network's input.

        `maps` have shape (n, anchors * (5 + classes), rows, columns), with predicted IoUs
        (n, anchors, rows, columns) before them.
        """
        parts = [
            self._decode(one, anchors, stride)
            for one, anchors, stride in zip(maps, self.anchors, self.strides, strict=True)
        ]
        boxes = np.concatenate([box for box, _ in parts], axis=1)
        scores = np.concatenate([score for _, score in parts], axis=1)
        return [self._selected(*image) for image in zip(boxes, scores, strict=True)]

    def _decode(
        self, one: NDArray[Any], anchors: Sequence[tuple[float, float]], stride: int
    ) -> tuple[Array, Array]:
        """Return corners (n, boxes, 4) and scores (n, boxes, classes) of one map."""
        samples, _, rows, columns = one.shape
        predicted_iou = None
        if self.iou_aware_factor is not None:
            predicted_iou = _sigmoid(one[:, : len(anchors)].astype("f8"))
            one = one[:, len(anchors) :]
        shape = (samples, len(anchors), 5 + self.classes, rows, columns)
        x, y, width, height, confidence, *kinds = np.moveaxis(one.reshape(shape).astype("f8"), 2, 0)
        shift = (self.scale_x_y - 1) / 2
        center_x = (_sigmoid(x) * self.scale_x_y - shift + np.arange(columns)) * stride
        center_y = (_sigmoid(y) * self.scale_x_y - shift + np.arange(rows)[:, None]) * stride
        sizes = np.array(anchors, float)[:, :, None, None]
        # Limited to 10: e^10 anchors are larger than any image.
        half_width = np.exp(np.minimum(width, 10)) * sizes[:, 0] / 2
        half_height = np.exp(np.minimum(height, 10)) * sizes[:, 1] / 2
        corners = np.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            axis=-1,
        )
        # Clipped to the last pixel, as in the toolkit.
        limits = (columns * stride - 1, rows * stride - 1) * 2
        corners = np.clip(corners, 0, limits).reshape(samples, -1, 4)
        objectness = _sigmoid(confidence)
        if predicted_iou is not None and self.iou_aware_factor is not None:
            factor = self.iou_aware_factor
            objectness = objectness ** (1 - factor) * predicted_iou**factor
        objectness = np.where(objectness < self.objectness_threshold, 0, objectness)
        scores = objectness[..., None] * _sigmoid(np.stack(kinds, axis=-1))
        return corners, scores.reshape(samples, -1, self.classes)

    def _selected(self, boxes: Array, scores: Array) -> list[Detection]:
        """Return one image's boxes after NMS, by descending score."""
        found = []
        for label in range(self.classes):
            if label == self.background:
                continue
            chosen = np.flatnonzero(scores[:, label] > self.score_threshold)
            chosen = chosen[np.argsort(-scores[chosen, label], kind="stable")]
            chosen = chosen[: self.nms_top_k if self.nms_top_k >= 0 else None]
            for index, score in self._after_nms(chosen, boxes, scores[:, label]):
                found.append(Detection(label, score, *map(float, boxes[index])))
        limit = self.keep_top_k if self.keep_top_k >= 0 else None
        return sorted(found, key=lambda d: -d.score)[:limit]

    def _after_nms(self, chosen: Any, boxes: Array, scores: Array) -> list[tuple[int, float]]:
        """Return the indices and scores of a class's boxes after NMS."""
        if not self.matrix_nms:
            remaining = _nms(boxes[chosen], self.nms_threshold, self.extra_pixel)
            return [(chosen[index], float(scores[chosen[index]])) for index in remaining]
        chosen = chosen[:MAX_CANDIDATES]
        decayed = scores[chosen] * _decay(boxes[chosen], self.gaussian_sigma, self.extra_pixel)
        pairs = zip(chosen, map(float, decayed), strict=True)
        return [(index, score) for index, score in pairs if score > self.post_threshold]


def decoder_of(
    head: Mapping[str, Any], decode: Mapping[str, Any], nms: Mapping[str, Any], classes: int
) -> YoloDecoder:
    """Return the decoder of a configuration's `YOLOv3Head` and `BBoxPostProcess`.

    Raises TaskError for a key or value that is not supported.
    """
    kind = str(nms.get("name", "MultiClassNMS"))
    if kind not in NMS:
        raise TaskError(f"BBoxPostProcess: nms {kind} is not supported; {' and '.join(NMS)} are")
    entries = (("YOLOv3Head", head, HEAD), ("decode", decode, DECODE))
    for name, entry, keys in (*entries, (kind, nms, NMS[kind])):
        unknown = set(entry) - keys - {"name"}
        if unknown:
            raise TaskError(f"{name}: {min(unknown)!r} is not supported; remove it")
    for name, value, only in (
        ("clip_bbox", decode.get("clip_bbox", True), True),
        ("nms_eta", nms.get("nms_eta", 1.0), 1.0),
    ):
        if value != only:
            raise TaskError(f"BBoxPostProcess: {name} {value} is not supported; {only} is")
    anchors = [[tuple(head["anchors"][i]) for i in mask] for mask in head["anchor_masks"]]
    coarsest = int(decode.get("downsample_ratio", 32))
    matrix = kind == "MatrixNMS"
    # The toolkit's score threshold for an NMS without one.
    default = 0.05
    return YoloDecoder(
        anchors,
        [coarsest // 2**level for level in range(len(anchors))],
        classes,
        score_threshold=nms.get("score_threshold", default),
        objectness_threshold=decode.get("conf_thresh", YoloDecoder.objectness_threshold),
        nms_threshold=nms.get("nms_threshold", 0.5),
        nms_top_k=nms.get("nms_top_k", -1),
        keep_top_k=nms.get("keep_top_k", 100),
        scale_x_y=decode.get("scale_x_y", 1.0),
        iou_aware_factor=head.get("iou_aware_factor", 0.4) if head.get("iou_aware") else None,
        matrix_nms=matrix,
        post_threshold=nms.get("post_threshold", default),
        background=nms.get("background_label", 0) if matrix else -1,
        gaussian_sigma=nms.get("gaussian_sigma", 2.0) if nms.get("use_gaussian") else None,
        extra_pixel=0.0 if nms.get("normalized", not matrix) else 1.0,
    )


def _sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    return result


def _overlaps(box: Array, others: Array, extra: float) -> Array:
    """Return the IoUs of boxes (..., 4) with others, (..., 4)."""
    low = np.maximum(box[..., :2], others[..., :2])
    high = np.minimum(box[..., 2:], others[..., 2:])
    shared = np.prod(np.where(high < low, 0, high - low + extra), axis=-1)
    areas = [np.prod(b[..., 2:] - b[..., :2] + extra, axis=-1) for b in (box, others)]
    result: Array = shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)
    return result


def _nms(boxes: Array, threshold: float, extra: float) -> list[int]:
    """Return the indices of boxes, best first, whose IoU with all better ones is at most that."""
    chosen: list[int] = []
    remaining = np.arange(len(boxes))
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        chosen.append(int(best))
        overlaps = _overlaps(boxes[best], boxes[remaining], extra)
        remaining = remaining[overlaps <= threshold]
    return chosen


def _decay(boxes: Array, sigma: float | None, extra: float) -> Array:
    """Return Matrix NMS's factor of each box's score; boxes are ordered best first.

    The factor is the minimum over all better boxes of the decay by the IoU with that box, relative
    to the decay by that box's own largest IoU with a better one (Wang et al., 2020).
    """
    if not len(boxes):
        return np.ones(0)
    overlaps = np.triu(_overlaps(boxes[:, None], boxes[None], extra), 1)
    largest = overlaps.max(axis=0)[:, None]
    if sigma is None:
        decays = (1 - overlaps) / np.maximum(1 - largest, 1e-12)
    else:
        decays = np.exp((largest**2 - overlaps**2) * sigma)
    better = np.triu(np.ones(overlaps.shape, bool), 1)
    result: Array = np.where(better, decays, 1.0).min(axis=0)
    return result
