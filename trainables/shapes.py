"""Untrained models of plans, timed: latency depends on channels and precision, not on weights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle

from spaces.errors import one_line
from spaces.plan import Plan
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.context import TrialContext
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import chosen_runtime
from trainables.files.cache import JsonCache, fingerprint_of, processor
from trainables.probe import FINAL, FULL, time_in_turn
from trainables.results import LatencyReading, Reference, TimedShape, Untimed
from trainables.settings import TrialSettings, reference_name

# Samples on which a shape's export is compared with its model, and calibrated: its outputs are not
# used. A guess.
SHAPE_SAMPLES = 8


def shape_settings(settings: TrialSettings) -> TrialSettings:
    """Return the settings with which a model is exported that is timed only."""
    few = min(SHAPE_SAMPLES, settings.calibration_samples)
    return settings.having(calibration_samples=few)


def _model(plan: Plan, context: TrialContext) -> paddle.nn.Layer:
    return pruned_model(context.task, plan, context.settings.criterion)


def shape_engine(model: paddle.nn.Layer, plan: Plan, context: TrialContext, folder: Path) -> Engine:
    """Return an engine of the plan's shape before training; its INT8 scales are not final."""
    choice, task = plan.quantization, context.task
    settings = shape_settings(context.settings)
    quantization = None
    if choice.is_trained:
        # Fake quantization cannot be removed from a model, so it is added to a second one. A
        # training step at learning rate 0 gives it scales to export.
        model = _model(plan, context)
        quantization = prepare_quantization(model, choice)
        trainer = context.trainer(
            model, plan=plan, samples=1, learning_rate_share=0.0, seed=0, quantized=True
        )
        trainer.run(1)
    with context.lease.shared():
        engine, _ = export_candidate(
            *(model, choice, quantization, task, settings, folder, SHAPE_SAMPLES),
            plan.float_layers,
        )
    return engine


def time_shape(plan: Plan, context: TrialContext) -> tuple[LatencyReading, bool]:
    """Return the latency of a plan's shape, and whether it came from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        return context.probe(
            "shape",
            plan,
            FULL,
            lambda: shape_engine(_model(plan, context), plan, context, Path(folder)),
        )


def time_shapes(plans: Sequence[Plan], context: TrialContext) -> list[TimedShape | Untimed]:
    """Return the latency of every plan's shape, or the reason why it could not be timed."""
    found: list[TimedShape | Untimed] = []
    for plan in plans:
        try:
            reading, reused = time_shape(plan, context)
        except Exception as error:  # A shape that fails does not end the study.
            found.append(Untimed(plan, one_line(error)))
        else:
            found.append(TimedShape(plan, reused, reading))
    return found


def export_references(plans: Sequence[Plan], context: TrialContext) -> list[Untimed]:
    """Export every plan's shape to the run folder; return those that cannot be, with the reason.

    Those leave no files, so `time_references` finds none.
    """
    failed = []
    for plan in plans:
        folder = context.settings.reference_folder(plan)
        try:
            shape_engine(_model(plan, context), plan, context, folder)
            context.files.upload(context.settings.folder, reference_name(plan))
        except Exception as error:  # A shape that fails does not end the study.
            shutil.rmtree(folder, ignore_errors=True)
            failed.append(Untimed(plan, one_line(error)))
    return failed


def time_references(plans: Sequence[Plan], context: TrialContext) -> list[Reference | Untimed]:
    """Return every exported plan's latency ratio to the baseline, or the reason why it has none.

    All plans are timed in turn, once per type of processor: later studies of the same model read
    the ratios from the cache.
    """
    reasons: dict[Plan, str] = {}
    engines: dict[Plan, Engine] = {}
    for plan in plans:
        try:
            engines[plan] = context.reference_engine(plan)
        except Exception as error:  # A shape that fails does not end the study.
            reasons[plan] = one_line(error)
    ratios = _reference_ratios(engines, context)
    return [
        Reference(plan, float(np.mean(ratios[plan])), tuple(ratios[plan]))
        if plan in ratios
        else Untimed(plan, reasons[plan])
        for plan in plans
    ]


def _reference_ratios(
    engines: Mapping[Plan, Engine], context: TrialContext
) -> dict[Plan, list[float]]:
    """Return each engine's latency ratios to the baseline, one for each size, all timed in turn."""
    settings = context.settings
    cache = JsonCache(settings.cache / "references")
    key = fingerprint_of(
        "references-3",
        context.baseline.fingerprint,
        [plan.to_json() for plan in engines],
        settings.latency_batch,
        settings.latency_effort,
        settings.threads,
        [chosen_runtime(settings).describe(plan.quantization.precision) for plan in engines],
        processor(),
    )
    ratios = cache.get(key, list[list[float]])
    if ratios is None or len(ratios) != len(engines):
        runs_ms = time_in_turn(
            [context.baseline_engine, *engines.values()],
            context.latency_batches,
            context.lease,
            FINAL.times(settings.latency_effort),
        )
        ratios = np.median(runs_ms[:, 1:] / runs_ms[:, :1], axis=0).tolist()
        cache.put(key, list[list[float]], ratios)
    return dict(zip(engines, ratios, strict=True))
