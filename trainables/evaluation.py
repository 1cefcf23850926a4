"""A model's statistics on a split, in the framework or on the engine it is deployed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import paddle

from spaces.errors import TrialError
from trainables.task import Batch, Split, Task
from trainables.training import StepGuard

Predict = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def first_samples(task: Task, count: int) -> tuple[np.ndarray, ...]:
    """Return the inputs of the first validation samples, repeated if there are too few."""
    batch: Batch = next(iter(task.eval_batches("val", count)))
    index = np.arange(count) % len(batch.inputs[0])
    return tuple(array[index] for array in batch.inputs)


def predict(model: paddle.nn.Layer, inputs: list[paddle.Tensor]) -> list[np.ndarray]:
    """Return the outputs of a model as arrays, one or more, without gradients.

    In the order of its export: lists inside lists from the left, a dict by its sorted keys.
    """
    with paddle.no_grad():
        outputs = paddle.utils.flatten(model(*inputs))
    return [output.numpy() for output in outputs if isinstance(output, paddle.Tensor)]


def eager(model: paddle.nn.Layer) -> Predict:
    """Return a function from input arrays to output arrays of a model in the framework."""
    model.eval()
    return lambda inputs: predict(model, [paddle.to_tensor(array) for array in inputs])


def evaluate(
    run: Predict,
    task: Task,
    split: Split,
    batch_size: int,
    guard: StepGuard = nullcontext,
    see: Callable[[Batch, Sequence[np.ndarray]], None] = lambda batch, outputs: None,
) -> np.ndarray:
    """Return the metric's statistics, samples of the split along axis 0.

    Each batch runs inside `guard`, so that a latency probe waits for one batch at most; `see` is
    shown each with its outputs.
    Raises TrialError for outputs that are not finite: NaN has no highest score.
    """
    statistics = []
    for batch in task.eval_batches(split, batch_size):
        with guard():
            outputs = run(batch.inputs)
        if not all(np.isfinite(output).all() for output in outputs):
            raise TrialError(f"the model's outputs on {split} are not finite")
        see(batch, outputs)
        statistics.append(np.asarray(task.metric.sample_statistics(outputs, batch.targets)))
    if not statistics:
        raise TrialError(f"the task yields no batch of its {split} split")
    return np.concatenate(statistics)
