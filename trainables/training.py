"""One training loop for the baseline, a trial's fine-tuning and the retrain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import paddle

from spaces.errors import TrialError
from trainables.task import Batch, Task

# A step of training happens inside this context; a latency probe waits for it to end.
StepGuard = Callable[[], AbstractContextManager[None]]

WARMUP_SHARE = 0.05


def as_tensors(batch: Batch) -> tuple[list[paddle.Tensor], object]:
    """Return inputs and, where they are one array, targets as tensors."""
    targets = batch.targets
    if isinstance(targets, np.ndarray):
        targets = paddle.to_tensor(targets)
    return [paddle.to_tensor(array) for array in batch.inputs], targets


class Trainer:
    """SGD with momentum on one cosine schedule, run a stretch at a time.

    `batch_size` is a worker's own; with several workers each draws its own order
    of the data from its `seed`, and `model` is the data-parallel wrapper.
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
    ) -> None:
        self.model = model
        self.task = task
        self.steps = max(1, steps)
        self.peak = learning_rate
        self.guard = guard
        self.step = 0
        self._batches = self._endless(batch_size, seed)
        self._optimizer = paddle.optimizer.Momentum(
            learning_rate=learning_rate,
            momentum=task.recipe.momentum,
            weight_decay=task.recipe.weight_decay,
            parameters=model.parameters(),
            grad_clip=paddle.nn.ClipGradByGlobalNorm(5.0),
        )

    def _endless(self, batch_size: int, seed: int) -> Iterator[Batch]:
        epoch = 0
        while True:
            # A wide stride keeps one epoch's seed clear of another run's.
            empty = True
            for batch in self.task.train_batches(batch_size, seed + 100_003 * epoch):
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
                loss = self.task.loss(self.model(*inputs), targets)
                loss.backward()
                self._optimizer.step()
                self._optimizer.clear_grad()
                value = float(loss)
            if not math.isfinite(value):
                raise TrialError(f"the training loss became {value} at step {self.step}")
            total += value
            self.step += 1
        self.model.eval()
        return total / max(1, steps)
