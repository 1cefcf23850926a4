"""A two-stage detector trained with its heads; a search sees only its trunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import paddle
from paddle import nn

from trainables.task import Batch, TrainingRecipe
from trainables.tasks.paddledetection.rcnn import Heads, Trunk, TrunkTask


class WholeDetector(nn.Layer):
    """Outputs the trunk's maps. The heads are layers of it too, so that they are trained."""

    def __init__(self, detector: nn.Layer) -> None:
        super().__init__()
        self.detector = detector
        # In a list, so that Paddle does not register it as a second layer.
        self._trunk = [Trunk(detector)]

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        maps: list[paddle.Tensor] = self._trunk[0](image)
        return maps


class WholeTask:
    """A trunk's task whose loss goes through the heads of the model in training."""

    def __init__(self, task: TrunkTask) -> None:
        self.task = task
        self.detector = task.detector()
        self.heads = Heads(self.detector, task.reader.canvas)
        self.recipe: TrainingRecipe = task.recipe

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self.task.train_batches(batch_size, seed)

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        return self.heads.loss(outputs, targets)
