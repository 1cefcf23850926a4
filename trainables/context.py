"""What a worker keeps between trials: the task, the baseline, and how to judge against it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from spaces.errors import TrialError
from spaces.plan import Plan
from trainables.baseline import Baseline, load_engine, load_statistics
from trainables.cache import JsonCache, fingerprint_of, processor
from trainables.compression.quantization import first_samples
from trainables.engine import Engine, describe
from trainables.evaluation import Predict, evaluate
from trainables.floor import BaselineFloor
from trainables.latency import DeviceLease, Effort, LatencyReading, time_in_turn
from trainables.loading import load_task
from trainables.metrics import loss_standard_error, relative_loss
from trainables.settings import TrialSettings
from trainables.task import Measurement


class Stopwatch:
    """Wall seconds by stage, summed over visits."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


class TrialContext:
    """Built once by a worker, then shared by all its trials."""

    def __init__(self, settings: TrialSettings, baseline: Baseline, lease: DeviceLease) -> None:
        self.settings = settings
        self.baseline = baseline
        self.lease = lease
        self.task = load_task(settings.task, settings.task_options)
        self.baseline_engine = load_engine(settings)
        self.baseline_statistics = load_statistics(settings.baseline_folder)
        self.latency_inputs = first_samples(self.task, settings.latency_batch)
        self._readings = JsonCache(Path(settings.cache_folder) / "latency")
        self._processor = processor()
        self._floor = BaselineFloor(settings, baseline.fingerprint)

    def measure(
        self,
        run: Predict,
        stage: str,
        rung: int,
        fidelity: float,
        train_loss: float | None = None,
    ) -> Measurement:
        """Return how a model does on validation, relative to the baseline.

        Raises TrialError if the outputs or the metric are not finite numbers.
        """
        statistics = evaluate(run, self.task, "val", self.settings.eval_batch, self.lease.shared)
        metric = self.task.metric.aggregate(statistics)
        if not np.isfinite(metric):
            raise TrialError(f"{self.task.metric.name} on val is {metric}")
        return Measurement(
            stage=stage,
            rung=rung,
            fidelity=fidelity,
            metric=metric,
            metric_loss=relative_loss(self.task.metric, self.baseline.metric, metric),
            standard_error=loss_standard_error(
                self.task.metric, self.baseline_statistics, statistics
            ),
            train_loss=train_loss,
        )

    def probe(
        self, stage: str, plan: Plan, effort: Effort, engine: Callable[[], Engine]
    ) -> tuple[LatencyReading, bool]:
        """Return the plan's latency, and whether it was known.

        Shape and precision fix it, so a later study of the same model on the same
        kind of machine reuses it; that also makes a seeded search repeatable, which
        no clock would. `engine` is called only if there is something to time.
        """
        key = fingerprint_of(
            "latency-4",
            stage,
            self.baseline.fingerprint,
            plan.to_json(),
            self.settings.latency_batch,
            self.settings.threads,
            describe(plan.quantization.precision),
            self._processor,
        )
        known = self._readings.get(key)
        if known is not None:
            return LatencyReading(**known), True
        reading = time_in_turn(
            engine(),
            self.baseline_engine,
            self.latency_inputs,
            self.lease,
            threads=self.settings.threads,
            effort=effort,
            baseline_ms=min(self._floor.known_ms or np.inf, self.baseline.latency_ms),
        )
        self._floor.lower(reading.baseline_latency_ms)
        self._readings.put(key, reading.to_json())
        return reading, False
