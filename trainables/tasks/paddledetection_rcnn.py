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
def _joining_numbers() -> Iterator[None]:
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


class TrunkTask(DetectionTask):
    """One Faster or Mask R-CNN configuration of PaddleDetection; of the latter, boxes only."""

    learning_rate = 0.005

    def build_untrained(self) -> nn.Layer:
        return Trunk(self.detector())

    @cached_property
    def _trained(self) -> Any:
        """The whole model with the user's weights, whose heads are used."""
        detector = self.detector()
        load_weights(detector, self.weights)
        for parameter in detector.parameters():
            parameter.stop_gradient = True
        return detector

    def _shape_of(self, samples: int) -> dict[str, paddle.Tensor]:
        side = paddle.full([samples, 2], float(self.image_size))
        return {"im_shape": side, "scale_factor": paddle.ones_like(side)}

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        """Return the sum of what the proposals and the boxes lose."""
        return self.loss_of(self._trained, outputs, targets)

    def loss_of(
        self, heads: Any, outputs: list[paddle.Tensor], targets: dict[str, Any]
    ) -> paddle.Tensor:
        """Return the same with the heads of another model, which may be in training too."""
        _set_mode(heads, training=True)
        tensors = {
            name: [paddle.to_tensor(array) for array in arrays] for name, arrays in targets.items()
        }
        inputs = {**self._shape_of(len(outputs[0])), **tensors}
        with _joining_numbers():
            rois, counts, proposals = heads.rpn_head(outputs, inputs)
            boxes, _ = heads.bbox_head(outputs, rois, counts, inputs)
        total: paddle.Tensor = sum((*proposals.values(), *boxes.values()))
        return total

    def targets(self, images: np.ndarray, boxes: Sequence[Sequence[Box]]) -> dict[str, Any]:
        """Return lists with an array an image: corners, classes, and which do not count."""
        return {
            "gt_bbox": [
                np.array([(b.left, b.top, b.right, b.bottom) for b in of_image], "float32").reshape(
                    -1, 4
                )
                for of_image in boxes
            ],
            "gt_class": [_column(box.label for box in of_image) for of_image in boxes],
            "is_crowd": [_column(box.hard for box in of_image) for of_image in boxes],
        }

    def detections(self, outputs: Sequence[np.ndarray]) -> list[list[Detection]]:
        heads = self._trained
        _set_mode(heads, training=False)
        maps = [paddle.to_tensor(array) for array in outputs]
        inputs = self._shape_of(len(maps[0]))
        with paddle.no_grad(), _joining_numbers():
            rois, counts, _ = heads.rpn_head(maps, inputs)
            predicted, _ = heads.bbox_head(maps, rois, counts, None)
            post_process, shape = heads.bbox_post_process, tuple(inputs.values())
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


def _set_mode(detector: Any, *, training: bool) -> None:
    """Have the heads make losses, or boxes; their batch norms stay as they were trained."""
    for head in (detector.rpn_head, detector.bbox_head):
        for layer in head.sublayers(include_self=True):
            layer.training = training and not isinstance(layer, nn.BatchNorm2D)


def _column(values: Iterator[Any]) -> np.ndarray:
    return np.array(list(values), "int32").reshape(-1, 1)
