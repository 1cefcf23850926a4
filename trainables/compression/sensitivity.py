"""How much the metric drops when one group is pruned and nothing else is done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from spaces.plan import ImportanceCriterion, Precision
from trainables.cache import JsonCache, fingerprint_of
from trainables.compression.pruner import ChannelPruner
from trainables.engine import Engine, supports_bfloat16
from trainables.evaluation import evaluate
from trainables.export import reweighted
from trainables.metrics import metric_value, relative_loss
from trainables.models import new_model
from trainables.results import Sensitivity
from trainables.task import Task

# Raise it when the same question would get another answer.
ALGORITHM = "summed-masked-val-5"


def cache_key(
    fingerprint: str, group: str, ratios: Sequence[float], criterion: ImportanceCriterion
) -> str:
    """Return the key of a group's curve; `fingerprint` is of the weights and the data."""
    return fingerprint_of(ALGORITHM, criterion, fingerprint, group, list(ratios))


def group_sensitivity(
    task: Task,
    group: str,
    ratios: Sequence[float],
    baseline_metric: float,
    eval_batch: int,
    threads: int,
    criterion: ImportanceCriterion = "l1_norm",
) -> list[Sensitivity]:
    """Return the group's sensitivity at every ratio, on the validation split.

    One export serves all ratios: what a prune would remove is set to 0 in its weights, which
    computes the same. The engine evaluates several times faster than the framework does,
    in bfloat16 faster again where the processor has it: its losses rank as float's do (rank
    correlation 0.9996 on the built-in problem).
    """
    pruner = ChannelPruner(new_model(task), task.inputs, criterion)
    precision: Precision = "bfloat16" if supports_bfloat16() else "float"
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        reweighted(pruner.model, task.inputs, Path(folder)) as write,
    ):
        for ratio in ratios:
            try:
                write(pruner.masked({group: ratio}))
                engine = Engine(Path(folder), precision, threads)
                metric = metric_value(task.metric, evaluate(engine.run, task, "val", eval_batch))
            except Exception:  # One ratio that cannot be had does not end the study.
                rows.append(Sensitivity(group, ratio, None, None))
            else:
                loss = relative_loss(task.metric, baseline_metric, metric)
                rows.append(Sensitivity(group, ratio, metric, loss))
    return rows


def cached_group_sensitivity(
    cache: JsonCache,
    fingerprint: str,
    task: Callable[[], Task],
    group: str,
    ratios: Sequence[float],
    baseline_metric: float,
    eval_batch: int,
    threads: int,
    criterion: ImportanceCriterion = "l1_norm",
) -> tuple[list[Sensitivity], bool]:
    """Return the same, and whether it was in the cache; the task is loaded only if not."""
    key = cache_key(fingerprint, group, ratios, criterion)
    known = cache.get(key, list[Sensitivity])
    if known is not None:
        return known, True
    rows = group_sensitivity(task(), group, ratios, baseline_metric, eval_batch, threads, criterion)
    cache.put(key, list[Sensitivity], rows)
    return rows, False
