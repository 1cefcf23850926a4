"""Faster and Mask R-CNN. The trunk, including a feature pyramid, is pruned, exported and timed.

The heads are not: which boxes they process depends on the image, so they cannot be traced, and
Paddle fails to export the toolkit's code for them (LOG: two-stage detectors). They run unchanged in
the framework, on the trunk's maps, to train the trunk and to compute boxes.
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
from trainables.task import Matching
from trainables.tasks.paddledetection.base import DetectionTask
from trainables.tasks.paddledetection.reader import LoadedImage
from trainables.weights import load_weights

# The toolkit's name of the target with polygons. Other targets are lists of one array per image.
POLYGONS = "gt_poly"
# The toolkit's name of the images' heights and widths.
SIZES = "im_shape"
# Backbones that Paddle 3.1 cannot trace in its old graphs, which the dependency graph needs.
UNTRACEABLE = ("VisionTransformer",)
# Supported heads, by their key under the architecture.
COMPONENTS = {
    "rpn_head": "RPNHead",
    "bbox_head": "BBoxHead",
    "mask_head": "MaskHead",
    "bbox_post_process": "BBoxPostProcess",
    "mask_post_process": "MaskPostProcess",
}


class Trunk(nn.Layer):
    """Computes the maps that the heads read, from fine to coarse."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.neck = detector.backbone, detector.neck

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        maps = self.backbone({"image": image})
        return list(maps if self.neck is None else self.neck(maps))


@contextmanager
def concat_of_scalars() -> Iterator[None]:
    """Let `paddle.concat` take tensors without an axis, as in the Paddle that the toolkit uses."""
    concat = paddle.concat

    def lenient(x: Any, axis: Any = 0, name: str | None = None) -> paddle.Tensor:
        return concat([tensor if tensor.shape else tensor.reshape([1]) for tensor in x], axis, name)

    paddle.concat = lenient
    try:
        yield
    finally:
        paddle.concat = concat


class Heads:
    """A detector's heads, run in the framework on the maps of its trunk."""

    def __init__(self, detector: Any, canvas: tuple[int, int]) -> None:
        """`canvas` is the height and width of the trunk's input."""
        self.detector = detector
        self.canvas = canvas
        # The toolkit's Faster R-CNN lacks the attribute.
        self.mask_head: Any = getattr(detector, "mask_head", None)

    def _set_mode(self, *, training: bool) -> None:
        """Set the heads to compute losses or boxes; their batch norms stay in evaluation mode."""
        for head in filter(None, (self.detector.rpn_head, self.detector.bbox_head, self.mask_head)):
            for layer in head.sublayers(include_self=True):
                layer.training = training and not isinstance(layer, nn.BatchNorm2D)

    def shapes(self, sizes: Any) -> dict[str, paddle.Tensor]:
        """Return the toolkit's inputs on the images: their sizes within the input, and scale 1."""
        shape = paddle.to_tensor(np.asarray(sizes, "float32"))
        return {SIZES: shape, "scale_factor": paddle.ones_like(shape)}

    def loss(self, maps: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        """Return the sum of the losses of proposals, boxes and, with a mask head, masks."""
        self._set_mode(training=True)
        inputs = {
            name: target if name == POLYGONS else [paddle.to_tensor(array) for array in target]
            for name, target in targets.items()
            if name != SIZES
        }
        inputs.update(self.shapes(targets[SIZES]))
        boxes = self.detector.bbox_head
        with concat_of_scalars():
            rois, counts, proposal_losses = self.detector.rpn_head(maps, inputs)
            box_losses, features = boxes(maps, rois, counts, inputs)
            losses = [*proposal_losses.values(), *box_losses.values()]
            if self.mask_head is not None:
                assigned = boxes.get_assigned_rois()
                goals = boxes.get_assigned_targets()
                losses += self.mask_head(maps, *assigned, inputs, goals, features).values()
        total: paddle.Tensor = sum(losses)
        return total

    def detections(self, outputs: Sequence[np.ndarray], sizes: Sizes) -> list[list[Detection]]:
        """Return every image's boxes, in pixels of the trunk's input with its padding.

        `sizes` are the images' heights and widths within the input.
        """
        self._set_mode(training=False)
        maps = [paddle.to_tensor(array) for array in outputs]
        inputs = self.shapes(sizes)
        shape = tuple(inputs.values())
        post_process = self.detector.bbox_post_process
        with paddle.no_grad(), concat_of_scalars():
            rois, counts, _ = self.detector.rpn_head(maps, inputs)
            predicted, features = self.detector.bbox_head(maps, rois, counts, None)
            boxes, numbers, _ = post_process(predicted, (rois, counts), *shape)
            boxes, rows, numbers = post_process.get_pred(boxes, numbers, *shape)
            small = None
            if self.mask_head is not None:
                # Images without boxes are included: here they have one box of score 0.
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
        """Return one image's masks as run-length encodings, each first pasted into its box.

        One image at a time: a batch's masks at full image size would need gigabytes.
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
        for key, supported in COMPONENTS.items():
            # Without a default, the schema has an object that is not a string.
            given = architecture[key] if key in architecture.schema else supported
            if given != supported:
                name = given if isinstance(given, str) else "missing"
                raise TaskError(
                    f"architecture {self.config['architecture']} with {key} {name} cannot be "
                    f"searched; {key} {supported} can"
                )
        if architecture["backbone"] in UNTRACEABLE:
            raise TaskError(
                f"backbone {architecture['backbone']} cannot be traced, so it cannot be pruned; "
                "convolutional backbones and SwinTransformer can"
            )
        if self.config.get("use_cot"):
            raise TaskError("use_cot: true is not supported: it changes the heads' loss")

    @property
    def coarsest_stride(self) -> int:
        # A pyramid adds maps, whose sizes must match.
        return 32 if self.config[self.config["architecture"]]["neck"] else 1

    # The outputs are features, of which the heads need few; untried.
    distillation: Matching = "off"

    def build_untrained(self) -> nn.Layer:
        return Trunk(self.detector())

    @cached_property
    def heads(self) -> Heads:
        """The heads of the user's model, which are not trained."""
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
        """Return lists of one array per image: corners, classes, and which boxes are ignored."""
        boxes = [image.boxes for image in images]
        return {
            SIZES: np.array([image.size for image in images], "float32"),
            "gt_bbox": [_table(each, "left", "top", "right", "bottom") for each in boxes],
            "gt_class": [_table(each, "label").astype("int32") for each in boxes],
            "is_crowd": [_table(each, "hard").astype("int32") for each in boxes],
        }


class MaskTrunkTask(TrunkTask):
    """One Mask R-CNN configuration of PaddleDetection; its metric compares masks."""

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
        # Not as arrays: the toolkit shifts an array's polygons in place for every proposal.
        polygons = [[box.polygons for box in image.boxes] for image in images]
        return {**super().targets(images), POLYGONS: polygons}


def _detections(rows: paddle.Tensor, masks: Sequence[Any]) -> list[Detection]:
    """Return one image's detections, without the toolkit's placeholders."""
    return [
        # A box without an area has label -1; an image without boxes has one box of score 0.
        Detection(int(label), score, left, top, right, bottom, mask)
        for (label, score, left, top, right, bottom), mask in zip(rows.tolist(), masks, strict=True)
        if label >= 0 and score > 0
    ]


def _table(boxes: Sequence[Box], *columns: str) -> np.ndarray:
    """Return these attributes of boxes, shape (boxes, columns), also for no boxes."""
    rows = [[getattr(box, column) for column in columns] for box in boxes]
    return np.array(rows, "float32").reshape(len(rows), len(columns))
