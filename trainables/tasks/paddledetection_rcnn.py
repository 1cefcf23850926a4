"""Faster and Mask R-CNN: their trunk, with the pyramid if there is one, is pruned, exported and
timed. The heads decide by the image which boxes they look at, which no trace shows and Paddle's
export of the toolkit's code does not get through (LOG.md): they stay as they are, in the framework,
and train the trunk, and make boxes, from its maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import paddle
from paddle import nn

from trainables.average_precision import Detection
from trainables.data.detection import Box
from trainables.tasks.detection import DetectionTask
from trainables.weights import load_weights


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
        if all(not tensor.shape for tensor in x):
            return paddle.stack(list(x))
        return concat(x, axis, name)

    paddle.concat = lenient
    try:
        yield
    finally:
        paddle.concat = concat


class Heads:
    """A detector's heads, in the framework, on the maps of its trunk."""

    def __init__(self, detector: Any, image_size: int) -> None:
        self.detector = detector
        self.image_size = image_size

    def _set_mode(self, *, training: bool) -> None:
        """Have the heads make losses, or boxes; their batch norms stay as they were trained."""
        for head in (self.detector.rpn_head, self.detector.bbox_head):
            for layer in head.sublayers(include_self=True):
                layer.training = training and not isinstance(layer, nn.BatchNorm2D)

    def shapes(self, samples: int) -> dict[str, paddle.Tensor]:
        """Return what the toolkit wants to know of the images: their size and their scale, 1."""
        side = paddle.full([samples, 2], float(self.image_size))
        return {"im_shape": side, "scale_factor": paddle.ones_like(side)}

    def loss(self, maps: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        """Return the sum of what the proposals and the boxes lose."""
        self._set_mode(training=True)
        tensors = {
            name: [paddle.to_tensor(array) for array in arrays] for name, arrays in targets.items()
        }
        inputs = {**self.shapes(len(maps[0])), **tensors}
        with joining_numbers():
            rois, counts, proposals = self.detector.rpn_head(maps, inputs)
            boxes, _ = self.detector.bbox_head(maps, rois, counts, inputs)
        total: paddle.Tensor = sum((*proposals.values(), *boxes.values()))
        return total

    def detections(self, outputs: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Return the boxes of every image, in pixels of the trunk's input."""
        self._set_mode(training=False)
        maps = [paddle.to_tensor(array) for array in outputs]
        inputs = self.shapes(len(maps[0]))
        shape = tuple(inputs.values())
        post_process = self.detector.bbox_post_process
        with paddle.no_grad(), joining_numbers():
            rois, counts, _ = self.detector.rpn_head(maps, inputs)
            predicted, _ = self.detector.bbox_head(maps, rois, counts, None)
            rows, numbers, _ = post_process(predicted, (rois, counts), *shape)
            _, rows, numbers = post_process.get_pred(rows, numbers, *shape)
        ends = np.cumsum(numbers.numpy())
        return [
            # Of a box without a size the label is -1, and an image without any has one of score 0.
            [
                Detection(int(label), score, *map(float, corners))
                for label, score, *corners in of_image.tolist()
                if label >= 0 and score > 0
            ]
            for of_image in np.split(rows.numpy(), ends[:-1])
        ]


class TrunkTask(DetectionTask):
    """One Faster or Mask R-CNN configuration of PaddleDetection; of the latter, boxes only."""

    learning_rate = 0.005

    def build_untrained(self) -> nn.Layer:
        return Trunk(self.detector())

    @cached_property
    def heads(self) -> Heads:
        """Those of the user's model, which nothing changes."""
        detector = self.detector()
        load_weights(detector, self.weights)
        for parameter in detector.parameters():
            parameter.stop_gradient = True
        return Heads(detector, self.image_size)

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        return self.heads.loss(outputs, targets)

    def detections(self, outputs: Sequence[np.ndarray]) -> list[list[Detection]]:
        return self.heads.detections(outputs)

    def targets(self, images: np.ndarray, boxes: Sequence[Sequence[Box]]) -> dict[str, Any]:
        """Return lists with an array an image: corners, classes, and which do not count."""
        return {
            "gt_bbox": [_table(of, "left", "top", "right", "bottom") for of in boxes],
            "gt_class": [_table(of, "label").astype("int32") for of in boxes],
            "is_crowd": [_table(of, "hard").astype("int32") for of in boxes],
        }


def _table(boxes: Sequence[Box], *columns: str) -> np.ndarray:
    """Return a row a box, also of none."""
    rows = [[getattr(box, column) for column in columns] for box in boxes]
    return np.array(rows, "float32").reshape(len(rows), len(columns))
