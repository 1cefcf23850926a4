"""Checks that a loss relative to the baseline means something: the data are the same every time,
and the baseline is better than a model that ignores its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from spaces.errors import TaskError
from trainables.metrics import loss_standard_error, metric_value, relative_loss
from trainables.results import Chance
from trainables.task import Batch, Split, Task

# Standard errors by which a model must be better than chance: the one-sided 95 % quantile, as
# `confidence_z`. Of models at chance level one in twenty goes unnoticed.
CONFIDENCE = 1.64


def digest_of(batch: Batch) -> str:
    """Return a hex digest of a batch's inputs, not its targets, which may be of any type."""
    digest = hashlib.sha256()
    for array in batch.inputs:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def first_digest(task: Task, split: Split, batch_size: int) -> str:
    """Return the digest of a split's first batch. Raises TaskError if the split is empty."""
    first = next(iter(task.eval_batches(split, batch_size)), None)
    if first is None or len(first.inputs[0]) == 0:
        raise TaskError(
            f"task {task.name!r}: its {split} split holds no sample; give it some, or give the "
            "other splits a smaller share"
        )
    return digest_of(first)


def check_order(task: Task, split: Split, batch_size: int) -> str:
    """Read a split's first batch twice and return its digest.

    Raises TaskError if the split is empty, or if the second batch differs.
    """
    first = first_digest(task, split, batch_size)
    if first_digest(task, split, batch_size) != first:
        raise _changed(task, split)
    return first


def _changed(task: Task, split: Split) -> TaskError:
    return TaskError(
        f"task {task.name!r}: eval_batches({split!r}, ...) yields other inputs the second time; "
        "samples are compared one by one, so keep their order, and seed random draws"
    )


class FirstPass:
    """An observer of an evaluation: digests of its inputs, and the mean of the model's outputs."""

    def __init__(self) -> None:
        self._digests: list[str] = []
        self._sums: list[np.ndarray] | None = None
        self._first: list[np.ndarray] = []
        self._count = 0
        self._aligned = True
        self.varies = False
        """Whether any two outputs differ."""

    def __call__(self, batch: Batch, outputs: Sequence[np.ndarray]) -> None:
        self._digests.append(digest_of(batch))
        samples = len(batch.inputs[0])
        arrays = [np.asarray(output) for output in outputs]
        if not self._count:
            self._first = [array[:1] for array in arrays]
        shapes = [first.shape[1:] for first in self._first]
        self._aligned &= all(array.ndim and len(array) == samples for array in arrays)
        self._aligned &= [array.shape[1:] for array in arrays] == shapes
        self._count += samples
        if not self._aligned:
            self._sums, self.varies = None, True
            return
        pairs = zip(arrays, self._first, strict=True)
        self.varies = self.varies or any(bool((a != first).any()) for a, first in pairs)
        sums = [array.sum(0, dtype=np.float64) for array in arrays]
        before = self._sums or [np.zeros(1)] * len(arrays)
        self._sums = [total + more for total, more in zip(before, sums, strict=True)]

    def constant_statistics(self, task: Task, split: Split, batch_size: int) -> np.ndarray | None:
        """Return the statistics of a model whose output is always the mean one.

        They come from a second pass over the split. None if the outputs are not one per sample, or
        the metric fails on them. Raises TaskError if the inputs differ from the first pass's.
        """
        found: list[np.ndarray] | None = [] if self._sums is not None else None
        digests = []
        for batch in task.eval_batches(split, batch_size):
            digests.append(digest_of(batch))
            if found is not None and self._sums is not None:
                means = [(s / self._count).astype(np.float32) for s in self._sums]
                samples = len(batch.inputs[0])
                same = [np.repeat(mean[None], samples, axis=0) for mean in means]
                try:
                    found.append(np.asarray(task.metric.sample_statistics(same, batch.targets)))
                except Exception:  # A user's metric may fail on outputs that no model gave.
                    found = None
        if digests != self._digests:
            raise _changed(task, split)
        return np.concatenate(found) if found else None


def compare_with_chance(task: Task, statistics: np.ndarray, constant: np.ndarray) -> Chance | None:
    """Return the baseline compared with a constant model; None without finite metrics."""
    try:
        metric, chance = metric_value(task.metric, statistics), metric_value(task.metric, constant)
        loss = relative_loss(task.metric, metric, chance)
        error = loss_standard_error(task.metric, statistics, constant)
    except Exception:  # A user's metric may fail on statistics that no model gave.
        return None
    if not (np.isfinite(chance) and np.isfinite(error)):
        return None
    return Chance(chance, bool(loss <= CONFIDENCE * error))
