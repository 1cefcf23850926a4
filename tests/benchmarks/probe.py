"""How repeatable the latency probe is while a second process loads the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

REPEATS = 10
# Truths this far apart must be told apart.
DIFFERENT = 1.1
LOAD = """
import numpy as np
a = np.random.default_rng(0).random((1500, 1500), "float32")
while True:
    a = np.tanh(a @ a)
"""


def measure() -> dict[str, float]:
    """Return the coefficient of variation of a model's readings, and how often order is right.

    A dozen models of the built-in problem: four widths in float, bfloat16 and INT8. The
    truth of each is the median of its readings.
    """
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    from clusters.lease import device_lease
    from spaces.heuristics import uniform
    from spaces.plan import QuantizationChoice
    from spaces.space import Space
    from trainables.baseline import measure_baseline
    from trainables.compression.pruning import pruned_model
    from trainables.context import TrialContext
    from trainables.latency import FULL, time_in_turn
    from trainables.loading import load_task
    from trainables.settings import TrialSettings
    from trainables.trial import shape_engine

    with tempfile.TemporaryDirectory() as folder:
        settings = TrialSettings("fashion_mnist", folder, str(Path(folder) / "cache"))
        baseline = measure_baseline(load_task(settings.task, {}), settings)
        context = TrialContext(settings, baseline, device_lease())
        space = Space(baseline.groups)
        engines = []
        for choice in ("float", "bfloat16", "int8_ptq"):
            for ratio in (0.0, 0.25, 0.5, 0.75):
                plan = uniform(space, ratio, QuantizationChoice(choice))
                target = Path(folder) / f"{choice}-{ratio}"
                engines.append(
                    shape_engine(pruned_model(context.task, plan), plan, context, target)
                )
        load = subprocess.Popen([sys.executable, "-c", LOAD], env={**os.environ})
        try:
            readings = np.array(
                [
                    [
                        time_in_turn(
                            engine,
                            context.baseline_engine,
                            context.latency_inputs,
                            context.lease,
                            threads=1,
                            effort=FULL,
                            baseline_ms=baseline.latency_ms,
                        ).ratio
                        for engine in engines
                    ]
                    for _ in range(REPEATS)
                ]
            )
        finally:
            load.kill()
    return summarise(readings)


def summarise(readings: np.ndarray) -> dict[str, float]:
    """Return the figures of readings, shape (repeats, models)."""
    variation = readings.std(axis=0, ddof=1) / readings.mean(axis=0)
    truth = np.median(readings, axis=0)
    right = pairs = 0
    for fast, slow in zip(*np.nonzero(truth[None, :] >= DIFFERENT * truth[:, None]), strict=True):
        compared = readings[:, fast][:, None] < readings[:, slow][None, :]
        right += int(compared.sum())
        pairs += compared.size
    return {
        "probe_cv": float(np.median(variation)),
        "probe_cv_worst": float(variation.max()),
        "probe_order": right / max(1, pairs),
        "probe_pairs": pairs,
    }


if __name__ == "__main__":
    import json

    print(json.dumps(measure(), indent=1))
