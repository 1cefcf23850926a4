"""The unpruned model: evaluated, exported, timed, and its pruning groups found."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from spaces.errors import TaskError, TrialError
from spaces.plan import EngineKind, QuantizationChoice
from trainables.compression.graph.groups import survey_groups
from trainables.compression.graph.verification import task_samples
from trainables.compression.quantization import export_candidate
from trainables.deployment import gpu
from trainables.deployment.engine import Engine, size_bytes, supports_bfloat16
from trainables.evaluation import evaluate, first_samples
from trainables.metrics import metric_value
from trainables.models import new_model
from trainables.probe import FULL, NoLease, time_in_turn
from trainables.results import Baseline
from trainables.settings import TrialSettings
from trainables.soundness import Sight, check_order, compare_with_chance
from trainables.task import Split, Task
from trainables.training import Trainer
from trainables.weights import fingerprint, model_weights

STATISTICS_FILE = "val_statistics.npy"
PACE_STEPS = 4


def data_fingerprint(task: Task, split: Split, batch_size: int) -> str:
    """Return a hex digest of everything a split's batches hold."""
    digest = hashlib.sha256(task.name.encode())

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            add(list(value.items()))
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        else:
            digest.update(repr(value).encode())

    for batch in task.eval_batches(split, batch_size):
        add(tuple(batch))
    return digest.hexdigest()


def available_choices(kind: EngineKind = "onednn") -> tuple[QuantizationChoice, ...]:
    """Return the quantization choices that make sense on this machine."""
    if kind != "onednn":
        return gpu.offered_choices(kind)
    return tuple(
        choice
        for choice in QuantizationChoice
        if choice is not QuantizationChoice.BFLOAT16 or supports_bfloat16()
    )


def measure_baseline(task: Task, settings: TrialSettings) -> Baseline:
    """Return the baseline's figures; its export and statistics stay in the run folder.

    Raises TaskError if the unpruned model cannot be exported or has no metric to lose, or if the
    data are not there, or not the same each time.
    """
    # Before anything is paid for: the test split is read when all else is done.
    first_batch, _ = (check_order(task, split, settings.eval_batch) for split in ("val", "test"))
    folder, sight = settings.baseline_folder, Sight()
    model = new_model(task)
    weights = fingerprint(model_weights(model))
    try:
        engine, _ = export_candidate(model, QuantizationChoice.FLOAT, None, task, settings, folder)
        start = time.monotonic()
        statistics = evaluate(engine.run, task, "val", settings.eval_batch, see=sight)
        evaluate_s = time.monotonic() - start
        train_s = training_pace(model, task, settings)
    except TrialError as error:
        raise TaskError(f"task {settings.task!r}: the unpruned model fails: {error}") from error
    metric = metric_value(task.metric, statistics)
    if metric == 0 or not np.isfinite(metric):
        raise TaskError(
            f"task {settings.task!r}: the unpruned model's {task.metric.name} on val is {metric}; "
            "a budget is relative to it, so it must be a number other than 0; load trained weights"
        )
    if not sight.varies:
        raise TaskError(
            f"task {settings.task!r}: the unpruned model's outputs are the same whatever its "
            "inputs; load trained weights"
        )
    ignorant = sight.again(task, "val", settings.eval_batch)
    chance = None if ignorant is None else compare_with_chance(task, statistics, ignorant)
    np.save(folder / STATISTICS_FILE, statistics)
    inputs = first_samples(task, settings.latency_batch)
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    data = data_fingerprint(task, "val", settings.eval_batch)
    # The metric too: the same outputs may be judged in another way, or by other heads.
    judged = f"{task.metric.name} {metric:.6g}"
    identity = hashlib.sha256((weights + data + judged).encode()).hexdigest()
    effort = FULL.times(settings.latency_effort)
    latency_ms = float(np.median(time_in_turn([engine], inputs, NoLease(), effort)))
    return Baseline(
        metric_name=task.metric.name,
        maximize=bool(task.metric.maximize),
        metric=metric,
        latency_ms=latency_ms,
        size_bytes=size_bytes(folder),
        fingerprint=identity,
        groups=survey.groups,
        excluded=survey.excluded,
        layers=survey.layers,
        choices=available_choices(settings.engine),
        inputs=tuple(task.inputs),
        train_s=train_s,
        evaluate_s=evaluate_s,
        chance=chance,
        first_batch=first_batch,
    )


def training_pace(model: paddle.nn.Layer, task: Task, settings: TrialSettings) -> float:
    """Return the wall seconds that training takes a sample; the model is changed by it."""
    batch_size = settings.batch_size or task.recipe.batch_size
    trainer = Trainer(
        model, task, steps=PACE_STEPS + 1, learning_rate=0.0, batch_size=batch_size, seed=0
    )
    # The first step takes longer than any other.
    trainer.run(1)
    start = time.monotonic()
    trainer.run(PACE_STEPS)
    return (time.monotonic() - start) / (PACE_STEPS * batch_size)


def load_statistics(folder: Path) -> np.ndarray:
    """Return the baseline's statistics on validation, samples along axis 0."""
    loaded: np.ndarray = np.load(folder / STATISTICS_FILE, allow_pickle=False)
    return loaded


def load_engine(settings: TrialSettings) -> Engine:
    """Return the baseline's export, ready to be timed against."""
    return Engine(settings.baseline_folder, "float", settings.threads, settings.engine)
