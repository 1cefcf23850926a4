"""The baseline: the unpruned model evaluated, exported and timed, and its pruning groups."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from spaces.errors import TaskError, TrialError
from spaces.plan import QuantizationChoice
from trainables.compression.graph.groups import survey_groups
from trainables.compression.graph.verification import task_samples
from trainables.compression.quantization import export_candidate
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import (
    chosen_runtime,
    listing_of,
    load_engine,
    offered_choices,
)
from trainables.deployment.export import export_float
from trainables.deployment.exported import size_bytes
from trainables.deployment.gpu import power_state
from trainables.distillation import remark_if_off
from trainables.evaluation import evaluate, timed_batches
from trainables.metrics import metric_value
from trainables.models import new_model
from trainables.probe import FULL, NoLease, check_timed, time_in_turn
from trainables.remarks import remark
from trainables.results import Baseline
from trainables.sanity import FirstPass, check_order, compare_with_chance
from trainables.settings import TrialSettings
from trainables.task import Split, Task, timed_shapes
from trainables.training import Trainer
from trainables.weights import fingerprint, model_weights

STATISTICS_FILE = "val_statistics.npy"
# Training steps that are timed, after a first one that takes longer than any other. A guess.
PACE_STEPS = 4
# Seconds of the first step from which it is the measurement: what it takes beyond the others is
# tenths of a second. A guess.
SLOW_STEP_S = 3.0


def data_fingerprint(task: Task, split: Split, batch_size: int) -> str:
    """Return a hex digest of all inputs and targets of a split."""
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


def measure_baseline(task: Task, settings: TrialSettings) -> Baseline:
    """Return the baseline; its export and statistics stay in the run folder.

    Raises TaskError if the unpruned model cannot be exported or its metric is 0 or not finite, or
    if the data are missing or not the same every time.
    """
    choices = offered_choices(settings)
    # Checked first, since the test split is read only when the search is paid for.
    first_batch, _ = (check_order(task, split, settings.eval_batch) for split in ("val", "test"))
    folder, first_pass = settings.baseline_folder, FirstPass()
    model = new_model(task)
    weights = fingerprint(model_weights(model))
    try:
        engine, _ = export_candidate(model, QuantizationChoice.FLOAT, None, task, settings, folder)
        export_s = export_pace(model, task)
        batches = timed_batches(task, settings.latency_batch)
        check_timed(engine, batches)
        start = time.monotonic()
        statistics = evaluate(engine.run, task, "val", settings.eval_batch, observe=first_pass)
        evaluate_s = time.monotonic() - start
        train_s = training_pace(model, task, settings)
        remark_if_off(model, engine.run, task, settings)
    except TrialError as error:
        raise TaskError(f"task {settings.task!r}: the unpruned model fails: {error}") from error
    metric = metric_value(task.metric, statistics)
    _check_metric(metric, task, settings)
    if not first_pass.varies:
        reason = "outputs are the same for all inputs; load trained weights"
        raise TaskError(f"task {settings.task!r}: the unpruned model's {reason}")
    constant = first_pass.constant_statistics(task, "val", settings.eval_batch)
    chance = None if constant is None else compare_with_chance(task, statistics, constant)
    np.save(folder / STATISTICS_FILE, statistics)
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    runs_ms = time_in_turn([engine], batches, NoLease(), FULL.times(settings.latency_effort))
    if listing_of(settings).on_gpu:
        remark(f"The GPU, right after the timing: {power_state() or 'nvidia-smi tells nothing'}.")
    return Baseline(
        metric_name=task.metric.name,
        maximize=bool(task.metric.maximize),
        metric=metric,
        latency_ms=float(np.median(runs_ms[..., 0])),
        size_bytes=size_bytes(folder, chosen_runtime(settings).files("float")),
        fingerprint=_identity(task, settings, weights, metric),
        groups=survey.groups,
        excluded=survey.excluded,
        layers=survey.layers,
        choices=choices,
        inputs=tuple(task.inputs),
        train_s=train_s,
        evaluate_s=evaluate_s,
        export_s=export_s,
        batch_size=settings.batch_size or task.recipe.batch_size,
        chance=chance,
        first_batch=first_batch,
        branches=survey.branches,
    )


def _check_metric(metric: float, task: Task, settings: TrialSettings) -> None:
    """Raise TaskError if no budget can be relative to the unpruned model's metric."""
    if metric == 0 or not np.isfinite(metric):
        raise TaskError(
            f"task {settings.task!r}: the unpruned model's {task.metric.name} on val is {metric}; "
            "a budget is relative to it, so it must be a number other than 0; load trained weights"
        )


def _identity(task: Task, settings: TrialSettings, weights: str, metric: float) -> str:
    """Return a digest of weights, validation data, metric and the further sizes that are timed:
    caches of equal ones are shared."""
    data = data_fingerprint(task, "val", settings.eval_batch)
    # The metric is part of it: the task may judge the same outputs differently, or by other heads.
    score = f"{task.metric.name} {metric:.6g}"
    sizes = "".join(map(str, timed_shapes(task.inputs)[1:]))
    return hashlib.sha256((weights + data + score + sizes).encode()).hexdigest()


def training_pace(model: paddle.nn.Layer, task: Task, settings: TrialSettings) -> float:
    """Return the wall seconds of training per sample; changes the model."""
    batch_size = settings.batch_size or task.recipe.batch_size
    trainer = Trainer(
        model,
        task,
        steps=PACE_STEPS + 1,
        learning_rate=0.0,
        batch_size=batch_size,
        seed=0,
        mixed_precision=settings.mixed_precision,
    )
    start = time.monotonic()
    trainer.run(1)
    first_s = time.monotonic() - start
    if first_s >= SLOW_STEP_S:
        return first_s / batch_size
    start = time.monotonic()
    trainer.run(PACE_STEPS)
    return (time.monotonic() - start) / (PACE_STEPS * batch_size)


def export_pace(model: paddle.nn.Layer, task: Task) -> float:
    """Return the wall seconds in which the model is traced and written, its second time."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        export_float(model, task.inputs, Path(folder))
        return time.monotonic() - start


def load_statistics(folder: Path) -> np.ndarray:
    """Return the baseline's statistics on validation, samples along axis 0."""
    loaded: np.ndarray = np.load(folder / STATISTICS_FILE, allow_pickle=False)
    return loaded


def load_baseline(settings: TrialSettings) -> Engine:
    """Return the engine of the baseline's export."""
    return load_engine(settings.baseline_folder, "float", settings)
