"""The unpruned model on several engines: which one is worth a search."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spaces.errors import one_line
from spaces.plan import Precision, QuantizationChoice
from trainables.compression.quantization import export_candidate
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import LocalKind, runtime
from trainables.evaluation import timed_batches
from trainables.models import new_model
from trainables.probe import FULL, DeviceLease, time_in_turn
from trainables.results import EngineTime
from trainables.settings import TrialSettings
from trainables.shapes import SHAPE_SAMPLES, shape_settings
from trainables.task import Task

# The choice that gives a precision without training.
UNTRAINED: dict[Precision, QuantizationChoice] = {
    choice.precision: choice for choice in QuantizationChoice if not choice.is_trained
}


def time_engines(
    task: Task,
    settings: TrialSettings,
    kinds: Sequence[LocalKind],
    precisions: Sequence[Precision],
    lease: DeviceLease,
) -> list[EngineTime]:
    """Return the unpruned model's latency on every engine in every precision that it has here, all
    timed in turn; or the reason why it has none. Of several sizes it is that at the first."""
    batches = timed_batches(task, settings.latency_batch)
    model = new_model(task)
    loaded: list[tuple[LocalKind, Precision, Engine]] = []
    failed: list[EngineTime] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            here = shape_settings(settings).having(engine=kind)
            for precision in runtime(kind).precisions():
                if precision not in precisions:
                    continue
                target = Path(folder) / f"{kind}-{precision}"
                try:
                    engine, _ = export_candidate(
                        model, UNTRAINED[precision], None, task, here, target, SHAPE_SAMPLES
                    )
                    for inputs in batches:
                        engine.run(inputs)
                except Exception as error:  # One engine that fails leaves the others.
                    failed.append(EngineTime(kind, precision, None, one_line(error)))
                else:
                    loaded.append((kind, precision, engine))
        times: list[float] = []
        if loaded:
            engines = [engine for *_, engine in loaded]
            effort = FULL.times(settings.latency_effort)
            runs_ms = time_in_turn(engines, batches, lease, effort)
            times = np.median(runs_ms[..., 0], axis=0).tolist()
    timed = [
        EngineTime(kind, precision, latency_ms)
        for (kind, precision, _), latency_ms in zip(loaded, times, strict=True)
    ]
    return [*timed, *failed]
