"""A two-stage detector trained from nothing, heads and all: a search has its trunk only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import paddle
from paddle import nn

from trainables.task import Batch, TrainingRecipe
from trainables.tasks.paddledetection.rcnn import Heads, Trunk, TrunkTask


class WholeDetector(nn.Layer):
    """The trunk's maps, of a model whose heads are its layers too."""

    def __init__(self, detector: nn.Layer) -> None:
        super().__init__()
        self.detector = detector
        # In a list, or it would be a layer of its own.
        self._trunk = [Trunk(detector)]

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        maps: list[paddle.Tensor] = self._trunk[0](image)
        return maps


class WholeTask:
    """The task of a trunk, with the heads of the model in training."""

    def __init__(self, task: TrunkTask) -> None:
        self.task = task
        self.detector = task.detector()
        self.heads = Heads(self.detector, task.reader.canvas)
        self.recipe: TrainingRecipe = task.recipe

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self.task.train_batches(batch_size, seed)

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, Any]) -> paddle.Tensor:
        return self.heads.loss(outputs, targets)
