"""Knowledge distillation: a pruned model learns from the unpruned one, the teacher.

The teacher is the baseline's export on its engine, which costs a small part of what the framework
takes. Its outputs are cached by the content of a sample, where the data repeat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import listing_of
from trainables.deployment.export import output_difference
from trainables.evaluation import Predict
from trainables.remarks import remark
from trainables.settings import TrialSettings, WorkerSettings
from trainables.task import Matching, Task

# Hinton et al., 2015: soft targets at a temperature above 1 show which classes are alike. Cho and
# Hariharan (ICCV 2019) recommend 4.
TEMPERATURE = 4.0
# Largest difference of a bfloat16 teacher's outputs from the float one's, relative to their spread:
# a tenth of what an unpruned network's outputs differ by between two trainings. A guess.
FAITHFUL = 0.05
# Memory for the cached outputs of one worker process. A guess.
CACHE_BYTES = 128 * 2**20
# Memory of a cached entry beside its arrays: key, dictionary slot, list, array headers.
ENTRY_BYTES = 350
# The cache is dropped after this number of samples without a hit: the data are augmented. A guess.
SAMPLES_WITHOUT_HIT = 20_000
# Smallest variance by which a squared error is divided.
LEAST_VARIANCE = 1e-6


class Teacher:
    """The unpruned model on its engine. Equal samples give equal outputs, cached or not."""

    def __init__(self, run: Predict, limit_bytes: int = CACHE_BYTES) -> None:
        """`run` must give a sample the same outputs in every batch, as oneDNN does."""
        self._run = run
        self._limit = limit_bytes
        self._used = 0
        self._cache: dict[bytes, list[np.ndarray]] | None = {}
        self.samples = 0
        """Samples asked for."""
        self.hits = 0
        """Samples answered from the cache."""

    def outputs(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of a batch, samples along axis 0."""
        count = len(inputs[0])
        self.samples += count
        if self._cache is None:
            return self._run(inputs)
        keys = [_digest(inputs, row) for row in range(count)]
        missing = [row for row, key in enumerate(keys) if key not in self._cache]
        self.hits += count - len(missing)
        found = [self._cache.get(key) for key in keys]
        if missing:
            outputs = self._run([array[missing] for array in inputs])
            if any(len(output) != len(missing) for output in outputs):
                # Outputs without a sample axis, such as a list of all boxes, cannot be taken apart.
                self._cache = None
                return outputs if len(missing) == count else self._run(inputs)
            for position, row in enumerate(missing):
                found[row] = [output[position] for output in outputs]
                self._keep(keys[row], found[row])
        if self.samples > SAMPLES_WITHOUT_HIT and not self.hits:
            self._cache = None
        return [np.stack(parts) for parts in zip(*(f for f in found if f), strict=True)]

    def _keep(self, key: bytes, outputs: Sequence[np.ndarray] | None) -> None:
        """Cache a sample's outputs while there is memory.

        Nothing is evicted: data read in epochs would evict every sample before it is read again.
        """
        if self._cache is None or outputs is None:
            return
        size = sum(output.nbytes for output in outputs) + ENTRY_BYTES
        if self._used + size <= self._limit:
            self._used += size
            # A copy, since a row would keep the whole batch in memory.
            self._cache[key] = [output.copy() for output in outputs]


def _digest(inputs: Sequence[np.ndarray], row: int) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in inputs:
        digest.update(array[row].tobytes())
    return digest.digest()


def remark_if_off(
    model: paddle.nn.Layer, run: Predict, task: Task, settings: WorkerSettings
) -> None:
    """Remark why models of the task cannot learn from the teacher `run` as the settings ask."""
    if not settings.distillation or matching(task) == "loss":
        return
    for batch in task.train_batches(settings.batch_size or task.recipe.batch_size, 0):
        model.train()
        with paddle.no_grad():
            outputs = model(*(paddle.to_tensor(array) for array in batch.inputs))
        model.eval()
        reason = Distillation(Teacher(run), task, 1.0).why_off(outputs, batch.inputs)
        if reason is not None:
            remark(f"pruned models do not learn from the unpruned one: {reason}")
        return


def load_teacher(
    settings: TrialSettings, baseline: Engine, inputs: Sequence[np.ndarray]
) -> Teacher:
    """Return the teacher of a study, in bfloat16 where that is fast and faithful on `inputs`.

    `baseline` is the baseline's float engine. On the CPU the teacher runs on oneDNN, whichever
    engine is timed: it gives a sample the same outputs in every batch.
    """
    if listing_of(settings).on_gpu:
        return Teacher(baseline.run)
    if paddle.base.core.supports_bfloat16_fast_performance():
        short = PaddleEngine(settings.baseline_folder, "bfloat16", settings.threads)
        if output_difference(short.run(inputs), baseline.run(inputs)) <= FAITHFUL:
            return Teacher(short.run)
    if settings.evaluated_by == "onednn":
        return Teacher(baseline.run)
    return Teacher(PaddleEngine(settings.baseline_folder, "float", settings.threads).run)


def matching(task: Task) -> Matching:
    """Return how a task's outputs are matched: as the task says, else its metric, else "values"."""
    for owner in (task, task.metric):
        named: Matching | None = getattr(owner, "distillation", None)
        if named is not None:
            return named
    return "values"


def exported(task: Task, outputs: Any) -> list[Any]:
    """Return those outputs of a model in training that its export has too, in the export's order.

    A task whose outputs in training differ otherwise than by further ones names them in
    `exported(outputs)`.
    """
    named = getattr(task, "exported", None)
    return list(paddle.utils.flatten(outputs if named is None else named(outputs)))


class Distillation:
    """The training loss of a model that learns from a teacher and from the labels."""

    def __init__(self, teacher: Teacher, task: Task, weight: float) -> None:
        """`weight`, 0 to 1, is the teacher's share of the loss."""
        self._teacher, self._task, self._weight = teacher, task, weight
        self._matching = matching(task)

    def loss(self, outputs: Any, targets: Any, inputs: Sequence[np.ndarray]) -> paddle.Tensor:
        """Return the loss of a batch: the task's, if no output can be matched."""
        own = self._task.loss(outputs, targets)
        pairs = self._pairs(outputs, inputs)
        if not pairs:
            return own
        errors = [self._error(output, taught) for output, taught in pairs]
        taught_loss = sum(errors[1:], errors[0]) / len(errors)
        if self._matching == "class_scores":
            return self._weight * taught_loss + (1 - self._weight) * own
        return self._weight * taught_loss + own

    def why_off(self, outputs: Any, inputs: Sequence[np.ndarray]) -> str | None:
        """Return why nothing is learnt from the teacher, None if something is."""
        if self._matching == "off":
            return "the task turns it off"
        if self._pairs(outputs, inputs):
            return None
        if not self._fits(inputs):
            return "training batches have other shapes than the task's inputs"
        return "no output in training has the shape of the export's"

    def _fits(self, inputs: Sequence[np.ndarray]) -> bool:
        """Return whether the export takes a training batch: an export has one size."""
        return [array.shape[1:] for array in inputs] == [i.shape for i in self._task.inputs]

    def _pairs(
        self, outputs: Any, inputs: Sequence[np.ndarray]
    ) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
        """Return each output that the teacher has too, by position and shape, and the teacher's."""
        if self._matching in ("off", "loss") or not self._fits(inputs):
            return []
        found = []
        for output, taught in zip(
            exported(self._task, outputs), self._teacher.outputs(inputs), strict=False
        ):
            if (
                isinstance(output, paddle.Tensor)
                and tuple(output.shape) == taught.shape
                and output.is_floating_point()
            ):
                found.append((output, paddle.to_tensor(taught)))
        return found

    def _error(self, output: paddle.Tensor, taught: paddle.Tensor) -> paddle.Tensor:
        if self._matching == "class_scores" and output.ndim > 1 and output.shape[1] > 1:
            return divergence(output, taught)
        return squared_error(output, taught)


def divergence(scores: paddle.Tensor, taught: paddle.Tensor) -> paddle.Tensor:
    """Return the Kullback-Leibler divergence of class scores, classes along axis 1.

    At TEMPERATURE, times its square, which keeps the gradient's size (Hinton et al., 2015).
    """
    wanted = F.softmax(taught / TEMPERATURE, axis=1)
    difference = F.log_softmax(taught / TEMPERATURE, axis=1) - F.log_softmax(
        scores / TEMPERATURE, axis=1
    )
    found: paddle.Tensor = (wanted * difference).sum(1).mean() * TEMPERATURE**2
    return found


def squared_error(output: paddle.Tensor, taught: paddle.Tensor) -> paddle.Tensor:
    """Return the mean squared error, relative to the variance of the teacher's values."""
    variance = paddle.clip(taught.var(), min=LEAST_VARIANCE)
    found: paddle.Tensor = ((output - taught) ** 2).mean() / variance
    return found
