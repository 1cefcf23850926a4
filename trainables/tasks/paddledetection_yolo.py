"""YOLOv3: what is pruned, exported and timed ends in the head's maps; boxes are made of them in
numpy, here and in a deployment alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.average_precision import Detection
from trainables.data.detection import Box
from trainables.tasks.detection import DetectionTask
from trainables.yolo_boxes import YoloDecoder

if TYPE_CHECKING:
    import paddle

MOST_BOXES = 100


class YoloTask(DetectionTask):
    """One YOLOv3 configuration of PaddleDetection."""

    def detections(self, outputs: Sequence[np.ndarray]) -> list[list[Detection]]:
        return self.decoder.detections(outputs)

    @cached_property
    def decoder(self) -> YoloDecoder:
        """What makes boxes of the model's outputs."""
        head = self.config["YOLOv3Head"]
        anchors = [[tuple(head["anchors"][i]) for i in mask] for mask in head["anchor_masks"]]
        return YoloDecoder(anchors, [32, 16, 8][: len(anchors)], self.classes)

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.yolo_network import HeadMaps

        return HeadMaps(self.detector())

    @cached_property
    def _head(self) -> Any:
        return self.detector().yolo_head

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, np.ndarray]) -> paddle.Tensor:
        """Return the sum of the head's losses."""
        import paddle

        tensors = {name: paddle.to_tensor(array) for name, array in targets.items()}
        losses = self._head.loss(outputs, tensors, self._head.anchors)
        total: paddle.Tensor = losses["loss"] if "loss" in losses else sum(losses.values())
        return total

    def targets(self, images: np.ndarray, boxes: Sequence[Sequence[Box]]) -> dict[str, np.ndarray]:
        from ppdet.data.transform.batch_operators import Gt2YoloTarget

        head = self.config["YOLOv3Head"]
        target = Gt2YoloTarget(
            head["anchors"], head["anchor_masks"], list(self.decoder.strides), self.classes
        )
        samples = []
        for image, wanted in zip(images, boxes, strict=True):
            corners = np.zeros((MOST_BOXES, 4), "float32")
            labels = np.zeros(MOST_BOXES, "int32")
            counted = [box for box in wanted if not box.hard][:MOST_BOXES]
            for row, box in enumerate(counted):
                labels[row] = box.label
                corners[row] = (
                    (box.left + box.right) / 2,
                    (box.top + box.bottom) / 2,
                    box.right - box.left,
                    box.bottom - box.top,
                )
            samples.append(
                {"image": image, "gt_bbox": corners / self.image_size, "gt_class": labels}
            )
        corners_of = np.stack([sample["gt_bbox"] for sample in samples])
        made = target([dict(sample) for sample in samples])
        maps = {
            f"target{i}": np.stack([sample[f"target{i}"] for sample in made]).astype("float32")
            for i in range(len(self.decoder.strides))
        }
        return {"gt_bbox": corners_of, **maps}
