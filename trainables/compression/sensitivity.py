"""How much the metric drops when one group is pruned and nothing else is done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spaces.plan import Precision
from trainables.cache import JsonCache, fingerprint_of
from trainables.compression.slim import ChannelPruner
from trainables.engine import Engine, supports_bfloat16
from trainables.evaluation import evaluate
from trainables.export import export_float
from trainables.metrics import relative_loss
from trainables.task import Task

# Raise it when the same question would get another answer.
ALGORITHM = "l1-exported-val-2"


@dataclass(frozen=True)
class Sensitivity:
    """One group at one ratio, relative to the whole unpruned model."""

    group: str
    ratio: float
    metric: float | None
    metric_loss: float | None
    """None where the pruned model could not be evaluated."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def cache_key(fingerprint: str, group: str, ratios: Sequence[float]) -> str:
    """Return the key of a group's curve; `fingerprint` is of the weights and the data."""
    return fingerprint_of(ALGORITHM, fingerprint, group, list(ratios))


def group_sensitivity(
    task: Task,
    group: str,
    ratios: Sequence[float],
    baseline_metric: float,
    eval_batch: int,
    threads: int,
) -> list[Sensitivity]:
    """Return the group's sensitivity at every ratio, on the validation split.

    The pruned model is exported and run on the engine, which evaluates several times
    faster than the framework does, in bfloat16 faster again where the processor has it: its
    losses rank as float's do (rank correlation 0.9996 on the built-in problem).
    """
    pruner = ChannelPruner(task.build_model(), task.inputs)
    rows = []
    for ratio in ratios:
        try:
            metric = _metric_pruned(pruner, task, group, ratio, eval_batch, threads)
        except Exception:  # One ratio that cannot be had does not end the study.
            rows.append(Sensitivity(group, ratio, None, None))
            # The failure may have left the model half-way.
            pruner = ChannelPruner(task.build_model(), task.inputs)
            continue
        loss = relative_loss(task.metric, baseline_metric, metric)
        rows.append(Sensitivity(group, ratio, metric, loss))
    return rows


def _metric_pruned(
    pruner: ChannelPruner, task: Task, group: str, ratio: float, eval_batch: int, threads: int
) -> float:
    """Return the metric with this group pruned; the pruner's model is whole again afterwards."""
    pruner.prune({group: ratio})
    with tempfile.TemporaryDirectory() as folder:
        export_float(pruner.model, task.inputs, Path(folder))
        pruner.restore()
        precision: Precision = "bfloat16" if supports_bfloat16() else "float"
        engine = Engine(Path(folder), precision, threads)
        return task.metric.aggregate(evaluate(engine.run, task, "val", eval_batch))


def cached_group_sensitivity(
    cache: JsonCache,
    fingerprint: str,
    task: Callable[[], Task],
    group: str,
    ratios: Sequence[float],
    baseline_metric: float,
    eval_batch: int,
    threads: int,
) -> tuple[list[Sensitivity], bool]:
    """Return the same, and whether it was in the cache; the task is loaded only if not."""
    key = cache_key(fingerprint, group, ratios)
    known = cache.get(key)
    if known is not None:
        return [Sensitivity(**row) for row in known], True
    rows = group_sensitivity(task(), group, ratios, baseline_metric, eval_batch, threads)
    cache.put(key, [row.to_json() for row in rows])
    return rows, False
