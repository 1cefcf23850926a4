"""Our sensitivity stage against PaddleSlim's `pruner.sensitive()`: same groups, ratios, data."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# The ratios that `pruner.sensitive()` measures; they are fixed.
GRID = tuple(round(0.1 * step, 1) for step in range(1, 10))
WORKERS = 2
EVAL_BATCH = 250


def _theirs(groups: list[str]) -> tuple[dict[str, list[float]], float]:
    """Return PaddleSlim's losses by group, and the seconds it took."""
    import paddleslim.dygraph

    import trainables.compression.slim  # noqa: F401  makes PaddleSlim work with this paddle
    from trainables.compression.graph.modes import quietly
    from trainables.evaluation import eager, evaluate
    from trainables.loading import load_task

    task = load_task("fashion_mnist", {})
    model = task.build_model()
    model.eval()
    with quietly():
        pruner = paddleslim.dygraph.L1NormFilterPruner(model, [1, *task.inputs[0].shape])
    names = {name: p.name for name, p in model.named_parameters()}

    def score() -> float:
        return task.metric.aggregate(evaluate(eager(model), task, "val", EVAL_BATCH))

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, quietly():
        found = pruner.sensitive(
            eval_func=score,
            sen_file=str(Path(folder) / "sensitivities"),
            target_vars=[names[group] for group in groups],
        )
    spent = time.perf_counter() - started
    return {group: [float(found[names[group]][r]) for r in GRID] for group in groups}, spent


def _ours(group: str, baseline_metric: float) -> list[float | None]:
    from trainables.compression.sensitivity import SensitivityProbe
    from trainables.loading import load_task

    with SensitivityProbe(load_task("fashion_mnist", {}), EVAL_BATCH, 1) as probe:
        rows = probe.curve(group, GRID, baseline_metric)
    return [row.metric_loss for row in rows]


def _groups() -> tuple[list[str], float]:
    from trainables.compression.graph.groups import survey_groups
    from trainables.evaluation import eager, evaluate
    from trainables.loading import load_task

    task = load_task("fashion_mnist", {})
    survey = survey_groups(task.build_model, task.inputs)
    metric = task.metric.aggregate(evaluate(eager(task.build_model()), task, "val", EVAL_BATCH))
    return [group.name for group in survey.groups], metric


def measure() -> dict[str, float]:
    """Return the speed-up of ours on all cores, and the rank correlation with theirs.

    Theirs is one process: it runs with one thread, then with one per core, and the faster run
    counts. Starting processes and importing paddle do not count on either side.
    """
    from scipy.stats import spearmanr

    context = multiprocessing.get_context("spawn")
    os.environ.update(OMP_NUM_THREADS=str(WORKERS), FLAGS_enable_pir_api="0")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        groups, metric = pool.submit(_groups).result()
        threaded_s = pool.submit(_theirs, groups).result()[1]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        # A first group each, so that both processes have loaded paddle and the task.
        list(pool.map(_ours, groups[:WORKERS], [metric] * WORKERS))
        theirs, theirs_s = pool.submit(_theirs, groups).result()
        started = time.perf_counter()
        rows = list(pool.map(_ours, groups, [metric] * len(groups)))
        ours_s = time.perf_counter() - started
    pairs = [
        (mine, other)
        for group, row in zip(groups, rows, strict=True)
        for mine, other in zip(row, theirs[group], strict=True)
        if mine is not None
    ]
    return {
        "points": len(pairs),
        "theirs_one_thread_s": theirs_s,
        "theirs_two_threads_s": threaded_s,
        "ours_two_processes_s": ours_s,
        "sensitivity_speedup": min(theirs_s, threaded_s) / ours_s,
        "sensitivity_rank_correlation": float(spearmanr(pairs).statistic),
    }


if __name__ == "__main__":
    import json

    print(json.dumps(measure(), indent=1))
