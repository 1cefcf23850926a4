"""Retraining: a candidate's remaining levels, data-parallel, then quantized and exported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import paddle
import paddle.distributed
import ray.train

from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.context import TrialContext
from trainables.deployment import gpu
from trainables.deployment.exported import size_bytes
from trainables.files.codec import decode, encode
from trainables.files.node import Node
from trainables.files.whole_file import write_whole
from trainables.jobs import RetrainJob
from trainables.levels import Level
from trainables.results import RetrainFigures
from trainables.settings import OUTCOME, candidate_name, retrained_name
from trainables.training import Trainer
from trainables.trial import LEVEL_STRIDE, QAT_SHARE, WEIGHTS, training_seed
from trainables.weights import (
    Arrays,
    load_weights,
    model_weights,
    read_weights,
    set_weights,
    write_weights,
)

if TYPE_CHECKING:
    from trainables.compression.slim import QuantizationAware

PROGRESS = "progress.json"
# Steps between checkpoints, as a share of a phase: the most that is lost with a worker. A guess.
CHECKPOINT_SHARE = 0.1

Phase = Literal["float", "quantized"]


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    phase: Phase
    step: int
    """Of the level."""
    level: int


def restored() -> tuple[Progress | None, Arrays]:
    """Return the progress and weights of the last checkpoint, (None, {}) without one."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None, {}
    with checkpoint.as_directory() as folder:
        progress = decode(Progress, (Path(folder) / PROGRESS).read_text())
        return progress, read_weights(Path(folder) / WEIGHTS)


class Retrain:
    """One worker of a retrain. Worker 0 writes the files."""

    def __init__(self, job: RetrainJob) -> None:
        self._job, self._settings, self._plan = job, job.settings, job.plan
        self._folder = job.settings.folder / retrained_name(job.number)
        self._workers = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
        self._rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
        gpu.choose_device()
        if self._workers > 1:
            gpu.join_workers()
        self._context = TrialContext(job.settings, job.baseline, Node(files=job.node.files))
        self._progress, self._arrays = restored()
        self._start = self._progress.step if self._progress is not None else 0
        self._levels = self._context.levels
        # Far from the seeds of trials. Each worker has its own order of the data, and a new one
        # after a restart, since the position in the old one is not saved.
        own = training_seed(job.settings.seed, job.plan) + 1_000_000_007 * (self._rank + 1)
        self._seed = (own + self._start) % 2**31
        paddle.seed(self._seed)
        self._model = self._pruned_model()
        self._loss: float | None = None

    def run(self) -> None:
        """Train the remaining levels in float, then under quantization, from the last checkpoint
        on; write export and figures to the run's folder."""
        if self._progress is None or self._progress.phase == "float":
            self._train_in_float()
        elif self._rank == 0:
            self._job.node.files.fetch(self._settings.folder, retrained_name(self._job.number))
        quantization = prepare_quantization(self._model, self._plan.quantization)
        if quantization is not None:
            if self._progress is not None and self._progress.phase == "quantized":
                set_weights(self._model, self._arrays, "checkpoint")
            last = self._levels[-1]
            self._loss = self._train("quantized", last, last.quantized_samples, QAT_SHARE)
        if self._rank == 0:
            self._export(quantization)
        if self._workers > 1:
            paddle.distributed.barrier()

    def _pruned_model(self) -> paddle.nn.Layer:
        return pruned_model(self._context.task, self._plan, self._settings.criterion)

    def _train_in_float(self) -> None:
        """Train from the weights of the trial or the checkpoint, and write the result."""
        files, job = self._job.node.files, self._job
        begin = job.level + 1
        if self._progress is None:
            name = candidate_name(job.number, job.level)
            files.fetch(self._settings.folder, name)
            load_weights(self._model, self._settings.folder / name / WEIGHTS)
        else:
            set_weights(self._model, self._arrays, "checkpoint")
            begin = self._progress.level
        for level in self._levels[begin:] if self._plan.is_pruned else ():
            self._loss = self._train("float", level, level.samples, 1.0)
            # DataParallel's reducer stays hooked to the parameters after it is freed, and the next
            # wrapper's backward pass would call it: so the weights move to a new model.
            trained = model_weights(self._model)
            self._model = self._pruned_model()
            set_weights(self._model, trained)
        if self._rank == 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_weights(self._folder / WEIGHTS, model_weights(self._model))
            files.upload(self._settings.folder, retrained_name(job.number))

    def _train(self, phase: Phase, level: Level, samples: float, share: float) -> float:
        """Train one phase of a level; return the mean loss since its last checkpoint."""
        model = self._model
        if self._workers > 1:
            # A weight that only a removed branch's own code reads is there, but has no gradient.
            unused = bool(self._plan.removed)
            model = paddle.DataParallel(model, find_unused_parameters=unused)
        trainer = self._context.trainer(
            model,
            plan=self._plan,
            samples=samples,
            learning_rate_share=share,
            seed=(self._seed + LEVEL_STRIDE * level.index) % 2**31,
            workers=self._workers,
            level=level.index,
            quantized=phase == "quantized",
        )
        before = self._progress
        same = before is not None and (before.phase, before.level) == (phase, level.index)
        return _train(
            trainer,
            self._start if same else 0,
            lambda step: self._report(Progress(phase, step, level.index)),
        )

    def _report(self, progress: Progress) -> None:
        """Report a checkpoint; every worker calls this, worker 0 writes it.

        It has no momentum, which builds up again in some steps.
        """
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self._rank == 0:
                write_weights(Path(folder) / WEIGHTS, model_weights(self._model))
                (Path(folder) / PROGRESS).write_text(encode(Progress, progress))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"step": progress.step}, checkpoint=checkpoint)

    def _export(self, quantization: QuantizationAware | None) -> None:
        """Write the export, then the figures, then upload both."""
        engine, difference = export_candidate(
            self._model,
            self._plan.quantization,
            quantization,
            self._context.task,
            self._settings,
            self._folder,
            float_layers=self._plan.float_layers,
        )
        measured = self._context.measure(engine.run, self._levels[-1].index, 1.0, self._loss)
        figures = RetrainFigures(
            metric=measured.metric,
            metric_loss=measured.metric_loss,
            standard_error=measured.standard_error,
            train_loss=self._loss,
            export_difference=difference,
            size_bytes=size_bytes(self._folder, engine.configuration.files),
            workers=self._workers,
        )
        write_whole(self._folder / OUTCOME, encode(RetrainFigures, figures).encode())
        self._job.node.files.upload(self._settings.folder, retrained_name(self._job.number))


def _train(trainer: Trainer, start: int, report: Callable[[int], None]) -> float:
    """Train from step `start` to the end; return the mean loss since the last checkpoint."""
    trainer.step = start
    stretch = max(1, round(CHECKPOINT_SHARE * trainer.steps))
    loss = 0.0
    while trainer.step < trainer.steps:
        loss = trainer.run(min(stretch, trainer.steps - trainer.step))
        if trainer.step < trainer.steps:
            report(trainer.step)
    return loss
