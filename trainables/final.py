"""The delivered model and the baseline: timed at length, and evaluated on the test split."""

from __future__ import annotations

import numpy as np

from spaces.plan import Plan, Precision
from trainables.baseline import load_baseline
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import load_engine
from trainables.deployment.exported import size_bytes
from trainables.evaluation import evaluate, timed_batches
from trainables.files.node import Node
from trainables.loading import study_task
from trainables.metrics import loss_standard_error, metric_value, relative_loss
from trainables.probe import FINAL, read_latency, time_in_turn
from trainables.results import FinalFigures, Sizes
from trainables.settings import BASELINE, TrialSettings
from trainables.task import Metric


def loss_on_test(metric: Metric, baseline: float, candidate: float) -> float:
    """Return the relative loss. If the baseline's metric is 0: 1 for a worse candidate, else 0.

    A small test split may give 0 where validation did not. The search is paid for by then, so its
    model is delivered.
    """
    if baseline != 0:
        return relative_loss(metric, baseline, candidate)
    is_worse = candidate < 0 if metric.maximize else candidate > 0
    return 1.0 if is_worse else 0.0


def float_precision(engine: Engine) -> Precision | None:
    """Return what the layers of a model are computed in that are not in INT8; None if the engine
    does not tell, or it is not the same for all."""
    found = {precision for precision in engine.layers().values() if precision != "int8"}
    return found.pop() if len(found) == 1 else None


def measure_final(settings: TrialSettings, node: Node, plan: Plan, name: str) -> FinalFigures:
    """Return the figures of a delivered model and the baseline; `name` is its folder in the run.

    Nothing else reads the test split; each of the two models reads it once.
    """
    for needed in (BASELINE, name):
        node.files.fetch(settings.folder, needed)
    task = study_task(settings, node.files)
    folder = settings.folder / name
    winner = load_engine(folder, plan.quantization.precision, settings)
    baseline = load_baseline(settings)
    # Without other references: the ratio is the speed-up as measured.
    batches = timed_batches(task, settings.latency_batch)
    runs_ms = time_in_turn(
        [winner, baseline],
        batches,
        node.lease,
        FINAL.times(settings.latency_effort),
    )
    reading = read_latency(
        runs_ms,
        [[1.0] * len(batches)],
        baseline_ms=float(np.median(runs_ms[:, 1, 0])),
        batch_size=settings.latency_batch,
        threads=settings.threads,
    )
    before = evaluate(baseline.run, task, "test", settings.eval_batch)
    after = evaluate(winner.run, task, "test", settings.eval_batch)
    baseline_test, winner_test = (metric_value(task.metric, rows) for rows in (before, after))
    configuration = winner.configuration
    return FinalFigures(
        baseline_test=baseline_test,
        winner_test=winner_test,
        metric_loss_test=loss_on_test(task.metric, baseline_test, winner_test),
        standard_error_test=loss_standard_error(task.metric, before, after),
        latency=reading,
        size_bytes=Sizes(
            size_bytes(settings.baseline_folder, baseline.configuration.files),
            size_bytes(folder, configuration.files),
        ),
        engine=configuration.name,
        engine_config=dict(configuration.options),
        engine_files=configuration.files,
        evaluated_on=configuration.evaluated_on,
        engine_versions=dict(configuration.versions),
        int8_operators=configuration.int8_operators,
        deleted_passes=configuration.deleted_passes,
        float_precision=float_precision(winner) if plan.float_layers else None,
    )
