"""What shows that losses relative to a baseline mean anything: data that stay as they are, and a
model that does better than one that ignores its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from spaces.errors import TaskError
from trainables.metrics import loss_standard_error, metric_value, relative_loss
from trainables.results import Chance
from trainables.task import Batch, Split, Task

# Standard errors by which a model has to do better than by chance; as `confidence_z`, one in
# twenty models at chance level goes unnoticed.
CONFIDENCE = 1.64


def digest_of(batch: Batch) -> str:
    """Return a hex digest of a batch's inputs; its targets may be of any kind."""
    digest = hashlib.sha256()
    for array in batch.inputs:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def first_digest(task: Task, split: Split, batch_size: int) -> str:
    """Return the digest of a split's first batch. Raises TaskError if the split holds no sample."""
    first = next(iter(task.eval_batches(split, batch_size)), None)
    if first is None or len(first.inputs[0]) == 0:
        raise TaskError(
            f"task {task.name!r}: its {split} split holds no sample; give it some, or a smaller "
            "share to the others"
        )
    return digest_of(first)


def check_order(task: Task, split: Split, batch_size: int) -> str:
    """Return the digest of a split's first batch, read twice.

    Raises TaskError if the split is empty, or read in another order the second time.
    """
    first = first_digest(task, split, batch_size)
    if first_digest(task, split, batch_size) != first:
        raise _moved(task, split)
    return first


def _moved(task: Task, split: Split) -> TaskError:
    return TaskError(
        f"task {task.name!r}: eval_batches({split!r}, ...) yields other inputs the second time, "
        "and samples are compared one by one; keep their order, and seed what is drawn"
    )


class Sight:
    """What a first pass over a split saw: inputs, and the mean of the model's outputs."""

    def __init__(self) -> None:
        self._digests: list[str] = []
        self._sums: list[np.ndarray] | None = None
        self._first: list[np.ndarray] = []
        self._count = 0
        self._aligned = True
        self.varies = False
        """Whether any output depends on the input."""

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

    def again(self, task: Task, split: Split, batch_size: int) -> np.ndarray | None:
        """Return, from a second pass, the statistics of a model that always gives the mean output.

        None if outputs are not one a sample, or the metric cannot judge such ones. Raises TaskError
        if the inputs are others than in the first pass.
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
                except Exception:  # A user's metric, on outputs that no model gave it.
                    found = None
        if digests != self._digests:
            raise _moved(task, split)
        return np.concatenate(found) if found else None


def compare_with_chance(task: Task, statistics: np.ndarray, ignorant: np.ndarray) -> Chance | None:
    """Return how the baseline's statistics compare; None if chance has no finite metric."""
    try:
        metric, chance = metric_value(task.metric, statistics), metric_value(task.metric, ignorant)
        loss = relative_loss(task.metric, metric, chance)
        error = loss_standard_error(task.metric, statistics, ignorant)
    except Exception:  # A user's metric, on statistics that no model gave it.
        return None
    if not (np.isfinite(chance) and np.isfinite(error)):
        return None
    return Chance(chance, bool(loss <= CONFIDENCE * error))
