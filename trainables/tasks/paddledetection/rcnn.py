"""Faster and Mask R-CNN: their trunk, with the pyramid if there is one, is pruned, exported and
timed. The heads decide by the image which boxes they look at, which no trace shows and Paddle's
export of the toolkit's code does not get through (LOG.md): they stay as they are, in the framework,
and train the trunk, and make boxes, from its maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import paddle
from paddle import nn

from spaces.errors import TaskError
from trainables.data.detection import Box
from trainables.metrics.average_precision import (
    Detection,
    MeanAveragePrecision,
    Sizes,
    mask_overlap,
)
from trainables.tasks.paddledetection.base import DetectionTask
from trainables.tasks.paddledetection.reader import LoadedImage
from trainables.weights import load_weights

# What the toolkit calls polygons, and the images' height and width; all other targets are lists
# with an array an image.
POLYGONS = "gt_poly"
SIZES = "im_shape"
# Backbones that Paddle 3.1 cannot trace, as its old graphs need for a survey of groups.
UNTRACED = ("VisionTransformer",)
# The heads whose inputs and outputs are known, by their key under the architecture.
PARTS = {
    "rpn_head": "RPNHead",
    "bbox_head": "BBoxHead",
    "mask_head": "MaskHead",
    "bbox_post_process": "BBoxPostProcess",
    "mask_post_process": "MaskPostProcess",
}


class Trunk(nn.Layer):
    """The maps that the heads look at, from the widest to the narrowest."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.neck = detector.backbone, detector.neck

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        maps = self.backbone({"image": image})
        return list(maps if self.neck is None else self.neck(maps))


@contextmanager
def joining_numbers() -> Iterator[None]:
    """Let `paddle.concat` join tensors without an axis, as Paddle did when the toolkit was made."""
    concat = paddle.concat

    def lenient(x: Any, axis: Any = 0, name: str | None = None) -> paddle.Tensor:
        return concat([tensor if tensor.shape else tensor.reshape([1]) for tensor in x], axis, name)

    paddle.concat = lenient
    try:
        yield
    finally:
        paddle.concat = concat


class Heads:
    """A detector's heads, in the framework, on the maps of its trunk."""

    def __init__(self, detector: Any, canvas: tuple[int, int]) -> None:
        """`canvas` is the height and width of the trunk's input."""
        self.detector = detector
        self.canvas = canvas
        # The toolkit's Faster R-CNN has no such attribute.
        self.mask_head: Any = getattr(detector, "mask_head", None)

    def _set_mode(self, *, training: bool) -> None:
        """Have the heads make losses, or boxes; their batch norms stay as they were trained."""
        for head in filter(None, (self.detector.rpn_head, self.detector.bbox_head, self.mask_head)):
            for layer in head.sublayers(include_self=True):
                layer.training = training and not isinstance(layer, nn.BatchNorm2D)

    def shapes(self, sizes: Any) -> dict[str, paddle.Tensor]:
        """Return what the toolkit wants to know of the images: height and width within the input,
        and their scale, 1."""
        shape = paddle.to_tensor(np.asarray(sizes, "float32"))
        return {SIZES: shape, "scale_factor": paddle.ones_like(shape)}

    def loss(self, maps: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        """Return the sum of what the proposals, the boxes and, with a mask head, the masks lose."""
        self._set_mode(training=True)
        inputs = {
            name: of if name == POLYGONS else [paddle.to_tensor(array) for array in of]
            for name, of in targets.items()
            if name != SIZES
        }
        inputs.update(self.shapes(targets[SIZES]))
        boxes = self.detector.bbox_head
        with joining_numbers():
            rois, counts, of_proposals = self.detector.rpn_head(maps, inputs)
            of_boxes, features = boxes(maps, rois, counts, inputs)
            losses = [*of_proposals.values(), *of_boxes.values()]
            if self.mask_head is not None:
                assigned = boxes.get_assigned_rois()
                goals = boxes.get_assigned_targets()
                losses += self.mask_head(maps, *assigned, inputs, goals, features).values()
        total: paddle.Tensor = sum(losses)
        return total

    def detections(self, outputs: Sequence[np.ndarray], sizes: Sizes) -> list[list[Detection]]:
        """Return what is on every image, in pixels of the trunk's input, padding and all.

        `sizes` are the images' heights and widths within the input.
        """
        self._set_mode(training=False)
        maps = [paddle.to_tensor(array) for array in outputs]
        inputs = self.shapes(sizes)
        shape = tuple(inputs.values())
        post_process = self.detector.bbox_post_process
        with paddle.no_grad(), joining_numbers():
            rois, counts, _ = self.detector.rpn_head(maps, inputs)
            predicted, features = self.detector.bbox_head(maps, rois, counts, None)
            boxes, numbers, _ = post_process(predicted, (rois, counts), *shape)
            boxes, rows, numbers = post_process.get_pred(boxes, numbers, *shape)
            small = None
            if self.mask_head is not None:
                # Of an image without boxes too: it has one without a score by now.
                small = self.mask_head(maps, boxes, numbers, inputs, feat_func=features)
        ends = np.cumsum(numbers.numpy())
        found = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            of_image = rows[start:end]
            masks = [None] * len(of_image)
            if small is not None:
                masks = self._masks(small[start:end], of_image)
            found.append(_detections(of_image, masks))
        return found

    def _masks(self, small: paddle.Tensor, rows: paddle.Tensor) -> list[Any]:
        """Return run lengths of one image's masks, each first laid into its box.

        An image at a time: a batch's masks, a whole picture each, would need gigabytes.
        """
        from pycocotools.mask import encode

        shape = paddle.to_tensor([self.canvas] * len(rows), "float32")
        with paddle.no_grad():
            number = paddle.to_tensor([len(rows)], "int32")
            whole = self.detector.mask_post_process(small, rows, number, shape).numpy()
        found: list[Any] = encode(np.asfortranarray(whole.transpose(1, 2, 0) > 0, "uint8"))
        return found


class TrunkTask(DetectionTask):
    """One Faster R-CNN configuration of PaddleDetection."""

    learning_rate = 0.005
    elsewhere = ("rpn_head.", "bbox_head.", "mask_head.")

    def check_parts(self) -> None:
        architecture = self.config[self.config["architecture"]]
        for key, known in PARTS.items():
            # Without a default the schema has an object that says so.
            given = architecture[key] if key in architecture.schema else known
            if given != known:
                name = given if isinstance(given, str) else "missing"
                raise TaskError(
                    f"architecture {self.config['architecture']} with {key} {name} cannot be "
                    f"searched; {key} {known} can"
                )
        if architecture["backbone"] in UNTRACED:
            raise TaskError(
                f"backbone {architecture['backbone']} cannot be traced, so nothing of it can be "
                "pruned; the convolutional ones and SwinTransformer can"
            )
        if self.config.get("use_cot"):
            raise TaskError("use_cot: true is not understood here: it changes the heads' loss")

    @property
    def coarsest_stride(self) -> int:
        # A pyramid adds maps that have to be of one size.
        return 32 if self.config[self.config["architecture"]]["neck"] else 1

    def build_untrained(self) -> nn.Layer:
        return Trunk(self.detector())

    @cached_property
    def heads(self) -> Heads:
        """Those of the user's model, which nothing changes."""
        detector = self.detector()
        load_weights(detector, self.weights)
        for parameter in detector.parameters():
            parameter.stop_gradient = True
        return Heads(detector, self.reader.canvas)

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        return self.heads.loss(outputs, targets)

    def detections(self, outputs: Sequence[np.ndarray], sizes: Sizes) -> list[list[Detection]]:
        return self.heads.detections(outputs, sizes)

    def targets(self, images: Sequence[LoadedImage]) -> dict[str, Any]:
        """Return lists with an array an image: corners, classes, and which do not count."""
        boxes = [image.boxes for image in images]
        return {
            SIZES: np.array([image.size for image in images], "float32"),
            "gt_bbox": [_table(of, "left", "top", "right", "bottom") for of in boxes],
            "gt_class": [_table(of, "label").astype("int32") for of in boxes],
            "is_crowd": [_table(of, "hard").astype("int32") for of in boxes],
        }


class MaskTrunkTask(TrunkTask):
    """One Mask R-CNN configuration of PaddleDetection, judged by its masks."""

    masks = True

    @cached_property
    def metric(self) -> MeanAveragePrecision:
        return MeanAveragePrecision(
            self.classes,
            self.detections,
            self.ious,
            partial(mask_overlap, size=self.reader.canvas),
            "mask_average_precision",
        )

    def targets(self, images: Sequence[LoadedImage]) -> dict[str, Any]:
        # Not as arrays: the toolkit would move theirs, not a copy, into every proposal in turn.
        polygons = [[box.polygons for box in image.boxes] for image in images]
        return {**super().targets(images), POLYGONS: polygons}


def _detections(rows: paddle.Tensor, masks: Sequence[Any]) -> list[Detection]:
    """Return one image's, without the boxes that the toolkit marks as none."""
    return [
        # Of a box without a size the label is -1, and an image without any has one of score 0.
        Detection(int(label), score, left, top, right, bottom, mask)
        for (label, score, left, top, right, bottom), mask in zip(rows.tolist(), masks, strict=True)
        if label >= 0 and score > 0
    ]


def _table(boxes: Sequence[Box], *columns: str) -> np.ndarray:
    """Return a row a box, also of none."""
    rows = [[getattr(box, column) for column in columns] for box in boxes]
    return np.array(rows, "float32").reshape(len(rows), len(columns))
