"""A YOLO detector of PaddleDetection, up to the maps of its head."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn


class HeadMaps(nn.Layer):
    """Runs the same layers in training and evaluation; losses and boxes are computed outside."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.neck, self.yolo_head = (
            detector.backbone,
            detector.neck,
            detector.yolo_head,
        )

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.neck(self.backbone({"image": image}))
        # Not zip: Paddle's export rewrites this code and does not support `strict`.
        return [
            convolution(features[index])
            for index, convolution in enumerate(self.yolo_head.yolo_outputs)
        ]
