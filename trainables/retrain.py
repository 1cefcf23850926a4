"""The winner's training in full: data-parallel, then quantized and exported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spaces.plan import Plan
from trainables.codec import decode, encode
from trainables.node import Node
from trainables.results import Baseline, RetrainFigures
from trainables.settings import TrialSettings, candidate_name, retrained_name
from trainables.whole_file import write_whole

if TYPE_CHECKING:
    import paddle

    from trainables.training import Trainer
    from trainables.weights import Arrays

OUTCOME = "outcome.json"
# What a job is called in the configuration of a Ray Train loop.
JOB = "job"
PROGRESS = "progress.json"
# Of a phase's steps: what is lost at most with a worker.
CHECKPOINT_SHARE = 0.1

Phase = Literal["float", "quantized"]


@dataclass(frozen=True)
class RetrainJob:
    """What every worker of a retrain is told."""

    settings: TrialSettings
    baseline: Baseline
    node: Node
    plan: Plan
    number: int
    """The trial whose fine-tuned weights it starts from."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    phase: Phase
    step: int


def restored() -> tuple[Progress | None, Arrays]:
    """Return where the workers before these had come to, and the model's weights there."""
    import ray.train

    from trainables.trial import WEIGHTS
    from trainables.weights import read_weights

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None, {}
    with checkpoint.as_directory() as folder:
        progress = decode(Progress, (Path(folder) / PROGRESS).read_text())
        return progress, read_weights(Path(folder) / WEIGHTS)


def _report(model: paddle.nn.Layer, progress: Progress, rank: int) -> None:
    """Leave a checkpoint; all workers come here, the first one writes it.

    Without the optimizer's momentum: it is there again after some steps.
    """
    import ray.train

    from trainables.trial import WEIGHTS
    from trainables.weights import model_weights, write_weights

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if rank == 0:
            write_weights(Path(folder) / WEIGHTS, model_weights(model))
            (Path(folder) / PROGRESS).write_text(encode(Progress, progress))
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report({"step": progress.step}, checkpoint=checkpoint)


def _train(trainer: Trainer, start: int, report: Callable[[int], None]) -> float:
    """Train from step `start` to the end; return the mean loss of the last stretch."""
    trainer.step = start
    stretch = max(1, round(CHECKPOINT_SHARE * trainer.steps))
    loss = 0.0
    while trainer.step < trainer.steps:
        loss = trainer.run(min(stretch, trainer.steps - trainer.step))
        if trainer.step < trainer.steps:
            report(trainer.step)
    return loss


def retrain_loop(config: Mapping[str, RetrainJob]) -> None:
    """Retrain one candidate; run by every worker of a Ray Train job.

    `config` has the job under JOB. The first worker leaves the export and OUTCOME, the figures, in
    the run's folder.
    """
    import paddle
    import paddle.distributed

    from trainables import gpu
    from trainables.compression.pruning import pruned_model
    from trainables.compression.quantization import export_candidate, prepare_quantization
    from trainables.context import TrialContext
    from trainables.engine import size_bytes
    from trainables.trial import (
        QAT_SHARE,
        WEIGHTS,
        training_seed,
    )
    from trainables.weights import load_weights, model_weights, set_weights, write_weights

    job = config[JOB]
    settings, node, plan, number = job.settings, job.node, job.plan, job.number
    folder = settings.folder / retrained_name(number)
    workers = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
    gpu.choose_device()
    if workers > 1:
        os.environ["PADDLE_DISTRI_BACKEND"] = gpu.distributed_backend()
        paddle.distributed.init_parallel_env()

    context = TrialContext(settings, job.baseline, Node(files=node.files))
    progress, arrays = restored()
    start = progress.step if progress is not None else 0
    # Far from every seed of a trial, and another order of the data for every worker; after a
    # loss yet another, for what it had seen is not known.
    seed = (training_seed(settings.seed, plan) + 1_000_000_007 * (rank + 1) + start) % 2**31
    paddle.seed(seed)
    model = pruned_model(context.task, plan, settings.criterion)

    def train(phase: Phase, samples: int, share: float) -> float:
        wrapped = paddle.DataParallel(model) if workers > 1 else model
        trainer = context.trainer(
            wrapped, samples=samples, learning_rate_share=share, seed=seed, workers=workers
        )
        begun = start if progress is not None and progress.phase == phase else 0
        return _train(trainer, begun, lambda step: _report(model, Progress(phase, step), rank))

    loss = None
    if progress is None or progress.phase == "float":
        if progress is None:
            node.files.fetch(settings.folder, candidate_name(number))
            load_weights(model, settings.candidate_folder(number) / WEIGHTS)
        else:
            set_weights(model, arrays, "checkpoint")
        if plan.is_pruned:
            loss = train("float", settings.retrain_samples, 1.0)
            # A wrapper's reducer stays hooked to the parameters after it is freed, and the next
            # wrapper's backward pass would run into it: what it left behind goes to a new model.
            trained = model_weights(model)
            model = pruned_model(context.task, plan, settings.criterion)
            set_weights(model, trained)
        if rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            write_weights(folder / WEIGHTS, model_weights(model))
            node.files.keep(settings.folder, retrained_name(number))
    elif rank == 0:
        node.files.fetch(settings.folder, retrained_name(number))
    quantization = prepare_quantization(model, plan.quantization)
    if quantization is not None:
        if progress is not None and progress.phase == "quantized":
            set_weights(model, arrays, "checkpoint")
        loss = train("quantized", settings.retrain_qat_samples, QAT_SHARE)
    if rank == 0:
        engine, difference = export_candidate(
            model, plan.quantization, quantization, context.task, settings, folder
        )
        measured = context.measure(engine.run, "retrain", 0, 1.0, loss)
        figures = RetrainFigures(
            metric=measured.metric,
            metric_loss=measured.metric_loss,
            standard_error=measured.standard_error,
            train_loss=loss,
            export_difference=difference,
            size_bytes=size_bytes(folder),
            workers=workers,
        )
        write_whole(folder / OUTCOME, encode(RetrainFigures, figures).encode())
        node.files.keep(settings.folder, retrained_name(number))
    if workers > 1:
        paddle.distributed.barrier()
