"""Numerical comparison: whether two models give the same outputs on a task's samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from trainables.task import ModelInput, Task

Array = NDArray[Any]

# Samples compared. More than one, so that outputs can differ between samples and a batch axis
# pruned by mistake is noticed.
SAMPLES = 2
# Samples the two are chosen from: some data sets begin with copies of one image. A guess.
CANDIDATES = 8
# Largest allowed difference, relative to the outputs' spread. Rounding of other sums is 3e-6 of it
# (LOG: groups from single channels), a missing or misplaced channel about as much as the spread.
TOLERANCE = 1e-3
# Smallest spread between samples, relative to an output's largest value, that is not taken for
# rounding; by precision, about ten times the machine epsilon.
MIN_SPREAD = {"float32": 1e-6, "float64": 1e-14}

SHAPES = "the outputs' shapes differ"
DIFFERENT = "the outputs differ"
NOT_FINITE = "outputs on the task's samples are not finite"
CONSTANT = "outputs are the same whatever the sample is"


def task_samples(task: Task) -> list[Array]:
    """Return two validation samples, one array per input, as different as the first few allow.

    If all are equal, or there is only one, the second is the first one mirrored.
    """
    batches: list[Sequence[Array]] = []
    for batch in task.eval_batches("val", CANDIDATES):
        batches.append(batch.inputs)
        if sum(len(inputs[0]) for inputs in batches) >= CANDIDATES:
            break
    several = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
    first = several[0].astype("f8")
    distances = np.abs(first - first[:1]).reshape(len(first), -1).sum(axis=1)
    other = int(np.argmax(distances))
    if distances[other] > 0:
        return [array[[0, other]] for array in several]
    return [np.stack([array[0], np.flip(array[0], -1)]) for array in several]


def random_samples(inputs: Sequence[ModelInput]) -> list[Array]:
    """Return random samples for a model without a task; integers are 0 or 1.

    Every embedding has at least those two rows.
    """
    rng = np.random.default_rng(0)
    return [
        (
            rng.standard_normal((SAMPLES, *spec.shape))
            if np.issubdtype(np.dtype(spec.dtype), np.floating)
            else rng.integers(0, 2, (SAMPLES, *spec.shape))
        ).astype(spec.dtype)
        for spec in inputs
    ]


def disagreement(found: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """Return why outputs do not show that two models are equal, None if they do.

    Outputs that are not finite, or do not depend on the sample, show nothing.
    """
    if [o.shape for o in found] != [e.shape for e in expected]:
        return SHAPES
    varies = False
    for output, wanted in zip(found, expected, strict=True):
        if not (np.isfinite(output).all() and np.isfinite(wanted).all()):
            return NOT_FINITE
        if wanted.dtype.kind != "f":
            if not np.array_equal(output, wanted):
                return DIFFERENT
            varies |= len(np.unique(wanted)) > 1
            continue
        largest = float(np.abs(wanted).max(initial=0.0))
        spread = _spread(wanted)
        depends = spread > MIN_SPREAD[str(wanted.dtype)] * largest
        varies |= depends
        allowed = TOLERANCE * (spread if depends else largest)
        if wanted.size and not float(np.abs(output.astype("f8") - wanted).max()) <= allowed:
            return DIFFERENT
    return None if varies else CONSTANT


def _spread(output: Array) -> float:
    """Return the standard deviation between the samples, or of all values without a batch axis."""
    values = output.astype("f8")
    if output.ndim > 0 and len(output) == SAMPLES:
        return float(np.sqrt(np.mean((values[0] - values[1]) ** 2) / 2))
    return float(np.std(values)) if output.size else 0.0


@contextmanager
def in_double_precision(model: paddle.nn.Layer) -> Iterator[None]:
    """Run a model in float64, so that rounding is not taken for a difference."""
    single = [
        tensor
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.dtype == paddle.float32
    ]
    before = [tensor.numpy() for tensor in single]
    default = paddle.get_default_dtype()
    device = paddle.base.framework._current_expected_place()
    try:
        # Tensors that the model's code creates have the default dtype.
        paddle.set_default_dtype("float64")
        for tensor in single:
            tensor.get_tensor().set(tensor.numpy().astype("f8"), device)
        yield
    finally:
        paddle.set_default_dtype(default)
        for tensor, values in zip(single, before, strict=True):
            tensor.get_tensor().set(values, device)
