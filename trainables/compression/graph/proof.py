"""Whether two models compute the same, told by their outputs on a task's own samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from trainables.task import ModelInput, Task

Array = NDArray[Any]

# More than one: a batch axis that has been pruned by mistake shows, and outputs can vary.
SAMPLES = 2
# Samples that the two are chosen from: some data sets begin with copies of one picture. A guess.
CHOICE = 8
# Largest difference, as a share of the outputs' spread: sums over fewer channels are rounded in
# another order. A channel that is missing or misplaced changes about as much as the spread.
TOLERANCE = 1e-3
# Of an output's largest value, by its precision: what differs less between two samples may be
# rounding. Some ten times the last digit.
VARIES = {"float32": 1e-6, "float64": 1e-14}

SHAPES = "the outputs' shapes differ"
DIFFERENT = "the outputs differ"
NOT_FINITE = "outputs on the task's samples are not finite"
CONSTANT = "outputs are the same whatever the sample is"


def task_samples(task: Task) -> list[Array]:
    """Return two validation samples by input, as different as the first few allow.

    Where all are alike, or there is one, the second is the first one mirrored.
    """
    batches: list[Sequence[Array]] = []
    for batch in task.eval_batches("val", CHOICE):
        batches.append(batch.inputs)
        if sum(len(inputs[0]) for inputs in batches) >= CHOICE:
            break
    several = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
    first = several[0].astype("f8")
    distances = np.abs(first - first[:1]).reshape(len(first), -1).sum(axis=1)
    other = int(np.argmax(distances))
    if distances[other] > 0:
        return [array[[0, other]] for array in several]
    return [np.stack([array[0], np.flip(array[0], -1)]) for array in several]


def random_samples(inputs: Sequence[ModelInput]) -> list[Array]:
    """Return samples where a task has none; whole numbers are 0 or 1."""
    rng = np.random.default_rng(0)
    # An embedding has at least these two rows.
    return [
        (
            rng.standard_normal((SAMPLES, *spec.shape))
            if np.issubdtype(np.dtype(spec.dtype), np.floating)
            else rng.integers(0, 2, (SAMPLES, *spec.shape))
        ).astype(spec.dtype)
        for spec in inputs
    ]


def disagreement(found: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """Return why outputs do not prove two models to be the same, None if they do.

    Outputs that are not finite, or that do not depend on the sample, prove nothing.
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
        telling = spread > VARIES[str(wanted.dtype)] * largest
        varies |= telling
        allowed = TOLERANCE * (spread if telling else largest)
        if wanted.size and not float(np.abs(output.astype("f8") - wanted).max()) <= allowed:
            return DIFFERENT
    return None if varies else CONSTANT


def _spread(output: Array) -> float:
    """Return the standard deviation from sample to sample, of all values if none are told apart."""
    values = output.astype("f8")
    if output.ndim > 0 and len(output) == SAMPLES:
        return float(np.sqrt(np.mean((values[0] - values[1]) ** 2) / 2))
    return float(np.std(values)) if output.size else 0.0


@contextmanager
def in_double_precision(model: paddle.nn.Layer) -> Iterator[None]:
    """Have a model compute in float64, so that rounding is not taken for a difference."""
    single = [
        tensor
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.dtype == paddle.float32
    ]
    before = [tensor.numpy() for tensor in single]
    default = paddle.get_default_dtype()
    place = paddle.base.framework._current_expected_place()
    try:
        # What the model's code makes has this type.
        paddle.set_default_dtype("float64")
        for tensor in single:
            tensor.get_tensor().set(tensor.numpy().astype("f8"), place)
        yield
    finally:
        paddle.set_default_dtype(default)
        for tensor, values in zip(single, before, strict=True):
            tensor.get_tensor().set(values, place)
