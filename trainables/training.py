"""One training loop for the baseline, a trial's fine-tuning and the retrain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import paddle

from spaces.errors import TrialError
from trainables.deployment.gpu import MixedPrecision
from trainables.task import Batch, Task

if TYPE_CHECKING:
    from trainables.distillation import Distillation

# Opens a context around a training step; a latency probe waits for its end.
StepGuard = Callable[[], AbstractContextManager[None]]

# Share of the steps in which the learning rate rises to its peak. A guess.
WARMUP_SHARE = 0.05
# Largest global norm of the gradients. A guess.
GRADIENT_NORM = 5.0
# Distance between the seeds of two epochs; wide, so that they are not those of another training.
EPOCH_STRIDE = 100_003


def as_tensors(batch: Batch) -> tuple[list[paddle.Tensor], object]:
    """Return a batch's inputs as tensors, and its targets too if they are one array."""
    targets = batch.targets
    if isinstance(targets, np.ndarray):
        targets = paddle.to_tensor(targets)
    return [paddle.to_tensor(array) for array in batch.inputs], targets


class Trainer:
    """SGD with momentum on one cosine schedule, which can be run in parts.

    With several workers `batch_size` and `seed`, which orders the data, are a worker's own, and
    `model` is the data-parallel wrapper.
    """

    def __init__(
        self,
        model: paddle.nn.Layer,
        task: Task,
        *,
        steps: int,
        learning_rate: float,
        batch_size: int,
        seed: int,
        guard: StepGuard = nullcontext,
        distillation: Distillation | None = None,
        mixed_precision: bool = False,
    ) -> None:
        self.model = model
        self.task = task
        self.steps = max(1, steps)
        self.peak = learning_rate
        self.guard = guard
        self.distillation = distillation
        self.arithmetic = MixedPrecision(mixed_precision)
        self.step = 0
        self._batches = self._endless(batch_size, seed)
        self._optimizer = paddle.optimizer.Momentum(
            learning_rate=learning_rate,
            momentum=task.recipe.momentum,
            weight_decay=task.recipe.weight_decay,
            parameters=model.parameters(),
            grad_clip=paddle.nn.ClipGradByGlobalNorm(GRADIENT_NORM),
        )

    def _endless(self, batch_size: int, seed: int) -> Iterator[Batch]:
        epoch = 0
        while True:
            empty = True
            for batch in self.task.train_batches(batch_size, seed + EPOCH_STRIDE * epoch):
                empty = False
                yield batch
            if empty:
                raise TrialError(
                    f"the task yields no training batch of {batch_size} samples; "
                    "give it a smaller recipe.batch_size"
                )
            epoch += 1

    def _learning_rate(self) -> float:
        warmup = max(1.0, WARMUP_SHARE * self.steps)
        if self.step < warmup:
            return self.peak * (self.step + 1) / (warmup + 1)
        done = (self.step - warmup) / max(1.0, self.steps - warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def run(self, steps: int) -> float:
        """Train for `steps` more steps; return the mean loss. Raises TrialError if not finite."""
        self.model.train()
        total = 0.0
        for _ in range(steps):
            batch = next(self._batches)
            with self.guard():
                self._optimizer.set_lr(self._learning_rate())
                inputs, targets = as_tensors(batch)
                outputs = self.arithmetic.outputs(self.model, inputs)
                if self.distillation is None:
                    loss = self.task.loss(outputs, targets)
                else:
                    loss = self.distillation.loss(outputs, targets, batch.inputs)
                self.arithmetic.step(loss, self._optimizer)
                value = float(loss)
            if not math.isfinite(value):
                raise TrialError(f"the training loss became {value} at step {self.step}")
            total += value
            self.step += 1
        self.model.eval()
        return total / max(1, steps)
