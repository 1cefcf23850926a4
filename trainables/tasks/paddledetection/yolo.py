"""YOLOv3 and PP-YOLO. The searched network ends in the head's maps; boxes are computed from them
in numpy, here and in deployment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import TaskError
from trainables.metrics.average_precision import Detection, Sizes
from trainables.tasks.paddledetection.base import DetectionTask
from trainables.tasks.paddledetection.reader import LoadedImage
from trainables.tasks.paddledetection.yolo_boxes import YoloDecoder, decoder_of

if TYPE_CHECKING:
    import paddle

# Most boxes of an image in training. A guess.
MAX_BOXES = 100
# NMS of the toolkit's YOLOv3 files, for a configuration without any.
DEFAULT_NMS = {
    "name": "MultiClassNMS",
    "score_threshold": 0.01,
    "nms_threshold": 0.45,
    "nms_top_k": 1000,
}
# Supported components, by their key under YOLOv3.
COMPONENTS = {"yolo_head": "YOLOv3Head", "post_process": "BBoxPostProcess"}


class YoloTask(DetectionTask):
    """One configuration of PaddleDetection with YOLOv3's head."""

    def check_parts(self) -> None:
        architecture = self.config["YOLOv3"]
        for key, supported in COMPONENTS.items():
            if architecture[key] != supported:
                raise TaskError(
                    f"architecture YOLOv3 with {key} {architecture[key]} cannot be searched "
                    f"(its outputs are not supported); {key} {supported} can"
                )
        head = self.config["YOLOv3Head"]
        if head["loss"] != "YOLOv3Loss":
            raise TaskError(f"YOLOv3Head's loss {head['loss']} is not supported; YOLOv3Loss is")
        if self.config.get("data_format", "NCHW") != "NCHW":
            raise TaskError(f"data_format {self.config['data_format']} is not NCHW; remove it")
        # Created now, as it raises TaskError for settings that are not supported.
        _ = self.decoder

    def check_reader(self) -> None:
        if self.reader.keeps_aspect:
            raise TaskError(
                "EvalReader: Resize: keep_ratio: true is not supported for YOLOv3, whose boxes the "
                "toolkit scales to the whole input; set it to false"
            )

    @cached_property
    def decoder(self) -> YoloDecoder:
        """Computes boxes from the model's outputs, with the toolkit's defaults."""
        post_process = self.create("BBoxPostProcess")
        decode, nms = (
            {"name": type(part).__name__, **vars(part)} if part is not None else None
            for part in (post_process.decode, post_process.nms)
        )
        if decode is not None and decode["name"] != "YOLOBox":
            raise TaskError(
                f"BBoxPostProcess: decode {decode['name']} is not supported; YOLOBox is"
            )
        head = self.config["YOLOv3Head"]
        settings = {key: head[key] for key in (*head.schema, *head)}
        return decoder_of(
            settings, decode or {}, nms or DEFAULT_NMS, int(self.config["num_classes"])
        )

    def detections(self, outputs: Sequence[np.ndarray], sizes: Sizes) -> list[list[Detection]]:
        return self.decoder.detections(outputs)

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.paddledetection.yolo_network import HeadMaps

        return HeadMaps(self.detector())

    @cached_property
    def _head(self) -> Any:
        return self.detector().yolo_head

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, np.ndarray]) -> paddle.Tensor:
        """Return the sum of the head's losses."""
        import paddle

        tensors = {name: paddle.to_tensor(array) for name, array in targets.items()}
        losses = self._head.loss(outputs, tensors, self._head.anchors)
        total: paddle.Tensor = losses["loss"]
        return total

    def targets(self, images: Sequence[LoadedImage]) -> dict[str, np.ndarray]:
        head = self.config["YOLOv3Head"]
        from ppdet.data.transform.batch_operators import Gt2YoloTarget

        target = Gt2YoloTarget(
            head["anchors"],
            head["anchor_masks"],
            list(self.decoder.strides),
            self.classes,
            self._anchor_overlap,
        )
        height, width = self.reader.canvas
        samples = []
        for image in images:
            boxes = np.zeros((MAX_BOXES, 4), "float32")
            labels = np.zeros(MAX_BOXES, "int32")
            counted = [box for box in image.boxes if not box.hard][:MAX_BOXES]
            for row, box in enumerate(counted):
                labels[row] = box.label
                boxes[row] = (
                    (box.left + box.right) / 2 / width,
                    (box.top + box.bottom) / 2 / height,
                    (box.right - box.left) / width,
                    (box.bottom - box.top) / height,
                )
            samples.append({"image": image.tensor, "gt_bbox": boxes, "gt_class": labels})
        with_targets = target([dict(sample) for sample in samples])
        maps = {
            f"target{i}": np.stack([s[f"target{i}"] for s in with_targets]).astype("float32")
            for i in range(len(self.decoder.strides))
        }
        return {"gt_bbox": np.stack([sample["gt_bbox"] for sample in samples]), **maps}

    @property
    def _anchor_overlap(self) -> float:
        """Minimum IoU at which anchors besides the best one are also assigned to a box."""
        transforms = (self.config.get("TrainReader") or {}).get("batch_transforms") or []
        for transform in transforms:
            if "Gt2YoloTarget" in transform:
                return float((transform["Gt2YoloTarget"] or {}).get("iou_thresh", 1.0))
        return 1.0
