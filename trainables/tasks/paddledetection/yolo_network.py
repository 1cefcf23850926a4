"""A detector of PaddleDetection up to the maps of its head."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn


class HeadMaps(nn.Layer):
    """The same layers, training or not: losses and boxes are made outside."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.neck, self.yolo_head = (
            detector.backbone,
            detector.neck,
            detector.yolo_head,
        )

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        features = self.neck(self.backbone({"image": image}))
        # Not by zip: an export rewrites this code, and knows no `strict`.
        return [
            convolution(features[index])
            for index, convolution in enumerate(self.yolo_head.yolo_outputs)
        ]
