"""Evaluation of a model on a split, in the framework or on its engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice

import numpy as np
import paddle

from spaces.errors import TrialError
from trainables.task import Batch, ModelInput, Split, Task, timed_shapes
from trainables.training import StepGuard

Predict = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def first_samples(task: Task, count: int) -> tuple[np.ndarray, ...]:
    """Return the inputs of the first `count` validation samples, repeated if there are fewer."""
    batch: Batch = next(iter(task.eval_batches("val", count)))
    index = np.arange(count) % len(batch.inputs[0])
    return tuple(array[index] for array in batch.inputs)


def timed_batches(task: Task, count: int) -> list[tuple[np.ndarray, ...]]:
    """Return the first `count` validation samples at each size that is timed (`timed_shapes`)."""
    return at_sizes(first_samples(task, count), task.inputs)


def at_sizes(
    samples: Sequence[np.ndarray], inputs: Sequence[ModelInput]
) -> list[tuple[np.ndarray, ...]]:
    """Return samples at each size that is timed, resized by nearest neighbours."""
    return [
        tuple(_resized(array, shape) for array, shape in zip(samples, shapes, strict=True))
        for shapes in timed_shapes(inputs)
    ]


def _resized(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    for axis, (old, new) in enumerate(zip(array.shape[1:], shape, strict=True), start=1):
        if old != new:
            array = np.take(array, np.arange(new) * old // new, axis)
    return array


def predict(model: paddle.nn.Layer, inputs: list[paddle.Tensor]) -> list[np.ndarray]:
    """Return the outputs of a model as arrays, without gradients.

    Their order is the export's: nested lists from left to right, a dict by sorted keys.
    """
    with paddle.no_grad():
        outputs = paddle.utils.flatten(model(*inputs))
    return [output.numpy() for output in outputs if isinstance(output, paddle.Tensor)]


def eager(model: paddle.nn.Layer) -> Predict:
    """Return a function from input to output arrays that runs the model in the framework."""
    model.eval()
    return lambda inputs: predict(model, [paddle.to_tensor(array) for array in inputs])


def evaluate(
    run: Predict,
    task: Task,
    split: Split,
    batch_size: int,
    guard: StepGuard = nullcontext,
    observe: Callable[[Batch, Sequence[np.ndarray]], None] = lambda batch, outputs: None,
    every: int = 1,
) -> np.ndarray:
    """Return the metric's statistics, samples of the split along axis 0.

    Of the split's batches the first and every `every`-th after it.

    Each batch runs inside `guard`, so a latency probe waits for one batch at most. `observe` is
    called with each batch and its outputs. Raises TrialError if outputs are not finite (NaN has no
    highest score) or the split is empty.
    """
    statistics = []
    for batch in islice(task.eval_batches(split, batch_size), 0, None, every):
        with guard():
            outputs = run(batch.inputs)
        if not all(np.isfinite(output).all() for output in outputs):
            raise TrialError(f"the model's outputs on {split} are not finite")
        observe(batch, outputs)
        statistics.append(np.asarray(task.metric.sample_statistics(outputs, batch.targets)))
    if not statistics:
        raise TrialError(f"the task yields no batch of its {split} split")
    return np.concatenate(statistics)
