"""Repeatability of the latency probe beside a process that loads the machine.

python -m benchmarks.probe [--engine ENGINE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainables.deployment.engines.registry import EngineKind

# Readings of each model. A guess.
REPEATS = 10
# Ratios of the timed models: other ones than the references'.
WIDTHS = (0.1, 0.3, 0.65, 0.87)
# Models count as different if their latencies differ by at least this factor. A guess.
DIFFERENT = 1.1
LOAD = """
import numpy as np
a = np.random.default_rng(0).random((1500, 1500), "float32")
while True:
    a = np.tanh(a @ a)
"""


def measure(engine: EngineKind = "onednn") -> dict[str, float]:
    """Return the coefficient of variation of readings, and how often two models are ordered right.

    A dozen models of the built-in problem: four widths in float, bfloat16 and INT8, as far as the
    engine has them. The true latency of each is taken to be the median of its readings.
    """
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    from clusters.lease import device_lease
    from search.records.search_space import timed
    from spaces.heuristics import uniform
    from spaces.measurements import reference_plans
    from spaces.plan import QuantizationChoice as Choice
    from spaces.space import Space
    from trainables.baseline import measure_baseline
    from trainables.compression.pruning import pruned_model
    from trainables.context import TrialContext
    from trainables.files.node import Node
    from trainables.loading import load_task
    from trainables.probe import FULL
    from trainables.settings import TrialSettings
    from trainables.shapes import export_references, shape_engine, time_references

    with tempfile.TemporaryDirectory() as folder:
        settings = TrialSettings(
            task="fashion_mnist",
            engine=engine,
            run_folder=folder,
            cache_folder=str(Path(folder) / "cache"),
        )
        baseline = measure_baseline(load_task(settings.task, {}), settings)
        node = Node(device_lease())
        context = TrialContext(settings, baseline, node)
        space = Space(baseline.groups)
        plans = reference_plans(space)
        export_references(plans, context)
        references = timed(time_references(plans, context))
        context = TrialContext(settings, replace(baseline, references=references), node)
        engines = []
        tried = (Choice.FLOAT, Choice.BFLOAT16, Choice.INT8_PTQ)
        for choice in (one for one in tried if one in baseline.choices):
            for ratio in WIDTHS:
                plan = uniform(space, ratio, choice)
                target = Path(folder) / f"{choice.value}-{ratio}"
                model = pruned_model(context.task, plan)
                engines.append((shape_engine(model, plan, context, target), choice))
        load = subprocess.Popen([sys.executable, "-c", LOAD], env={**os.environ})
        try:
            readings = np.array(
                [
                    [context.time(engine, choice, FULL).ratio for engine, choice in engines]
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="onednn")
    print(json.dumps(measure(parser.parse_args().engine), indent=1))
