"""Sensitivity: the relative drop of the metric when one group is pruned, without training."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from spaces.plan import ImportanceCriterion, Precision
from trainables.compression.norms import norm_statistics, reestimated_norms
from trainables.compression.pruner import ChannelPruner
from trainables.compression.removal import branches_switched
from trainables.deployment.engines.paddle_inference import PaddleEngine, supports_bfloat16
from trainables.deployment.export import rewritable_export
from trainables.evaluation import evaluate
from trainables.files.cache import JsonCache, fingerprint_of
from trainables.metrics import metric_value, relative_loss
from trainables.models import new_model
from trainables.results import Sensitivity
from trainables.task import Task

# Part of the cache key: raise it with every change that alters results.
ALGORITHM = "summed-masked-val-7"
# Least seconds to load a program, most of an evaluation's, before one that is not optimized is
# tried: an evaluation that takes less is no matter. A guess.
WORTH_S = 1.0


def cache_key(
    fingerprint: str,
    group: str,
    ratios: Sequence[float],
    criterion: ImportanceCriterion,
    every: int = 1,
) -> str:
    """Return the cache key of a group's curve; `fingerprint` identifies weights and data."""
    part = [every] if every > 1 else []
    return fingerprint_of(ALGORITHM, criterion, fingerprint, group, list(ratios), *part)


class Optimization:
    """Whether the engine optimizes programs before they run: on at first; off for the second
    evaluation if most of the first was loading; then as in the shorter of the two."""

    def __init__(self) -> None:
        self.on = True
        self._seconds: list[float] = []

    def learn(self, loaded_s: float, whole_s: float) -> None:
        """Learn from an evaluation, loading included."""
        self._seconds.append(whole_s)
        if len(self._seconds) == 1:
            self.on = loaded_s <= max(WORTH_S, whole_s / 2)
        elif len(self._seconds) == 2 and not self.on:
            self.on = self._seconds[0] < whole_s


class _Export:
    """An export whose weights can be replaced, in a folder that lasts until a stack is closed."""

    def __init__(self, model: paddle.nn.Layer, task: Task, opened: ExitStack) -> None:
        self.folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        self.write = opened.enter_context(rewritable_export(model, task.inputs, self.folder))


class SensitivityProbe:
    """Measures groups of one model, which is built, traced and exported once.

    Zeroing the channels in the export's weights computes the same as pruning them, and so does a
    switch at a branch's end, in a second export. The engine evaluates several times faster than the
    framework, and faster again in bfloat16 where the processor has it: rank correlation with float
    0.9996 (LOG: predicting loss and latency). It optimizes the program anew for other weights,
    which for a large one takes longer than the evaluation; then it runs as it is.
    """

    def __init__(
        self,
        task: Task,
        eval_batch: int,
        threads: int,
        criterion: ImportanceCriterion = "l1_norm",
        every: int = 1,
    ) -> None:
        """`every` above 1: losses are of every so many validation batches, against the unpruned
        model's metric on the same."""
        self._task, self._eval_batch, self._threads = task, eval_batch, threads
        self._criterion, self._every = criterion, every
        self._unpruned: float | None = None
        self._precision: Precision = "bfloat16" if supports_bfloat16() else "float"
        self._optimization = Optimization()
        self._open = ExitStack()

    def __enter__(self) -> SensitivityProbe:
        task = self._task
        with ExitStack() as opened:
            self._pruner = ChannelPruner(new_model(task), task.inputs, self._criterion)
            self._whole = _Export(self._pruner.model, task, opened)
            self._switched: _Export | None = None
            if self._every > 1:
                self._unpruned = self._metric(self._whole, {})
                # A loss is relative to it; a few batches may have nothing that counts.
                if self._unpruned == 0 or not math.isfinite(self._unpruned):
                    self._every, self._unpruned = 1, None
            self._open = opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def curve(
        self, group: str, ratios: Sequence[float], baseline_metric: float
    ) -> list[Sensitivity]:
        """Return the sensitivity of a group or branch at every ratio, on the validation split."""
        if self._unpruned is not None:
            baseline_metric = self._unpruned
        rows = []
        for ratio in ratios:
            try:
                if group in self._pruner.branches:
                    metric = self._metric_without(group)
                else:
                    metric = self._metric(self._whole, self._pruner.masked({group: ratio}))
            except Exception:  # One ratio that cannot be measured does not end the study.
                rows.append(Sensitivity(group, ratio, None, None))
            else:
                loss = relative_loss(self._task.metric, baseline_metric, metric)
                rows.append(Sensitivity(group, ratio, metric, loss))
        return rows

    def _metric_without(self, branch: str) -> float:
        """Return the metric without a branch, its batch norms' statistics measured anew."""
        pruner, task = self._pruner, self._task
        if self._switched is None:
            branches = list(pruner.branches.values())
            with branches_switched(pruner.model, branches) as self._switches:
                self._switched = _Export(pruner.model, task, self._open)
        ratios = {branch: 1.0}
        with pruner.mask(ratios), reestimated_norms(pruner.model, task):
            statistics = norm_statistics(pruner.model)
        off = {self._switches[branch]: np.zeros(1, "float32")}
        return self._metric(self._switched, {**pruner.masked(ratios), **statistics, **off})

    def _metric(self, export: _Export, weights: Mapping[str, NDArray[Any]]) -> float:
        """Return the metric of an export with other weights."""
        export.write(weights)
        started = time.perf_counter()
        # One engine at a time: one that is alive while another is loaded leaks a copy of its
        # weights, in Paddle (LOG: memory of workers, and the search of YOLOv3).
        precision = self._precision if self._optimization.on else None
        engine = PaddleEngine(export.folder, precision, self._threads)
        loaded_s = time.perf_counter() - started
        found = evaluate(engine.run, self._task, "val", self._eval_batch, every=self._every)
        self._optimization.learn(loaded_s, time.perf_counter() - started)
        return metric_value(self._task.metric, found)


def cached_sensitivities(
    cache: JsonCache,
    fingerprint: str,
    probe: Callable[[], SensitivityProbe],
    curves: Mapping[str, Sequence[float]],
    baseline_metric: float,
    criterion: ImportanceCriterion = "l1_norm",
    every: int = 1,
) -> dict[str, tuple[list[Sensitivity], bool]]:
    """Return each group's sensitivities, and whether they were in the cache.

    The probe is created only for a group that is not in the cache.
    """
    found: dict[str, tuple[list[Sensitivity], bool]] = {}
    with ExitStack() as opened:
        made: SensitivityProbe | None = None
        for group, ratios in curves.items():
            key = cache_key(fingerprint, group, ratios, criterion, every)
            known = cache.get(key, list[Sensitivity])
            if known is not None:
                found[group] = known, True
                continue
            made = made or opened.enter_context(probe())
            rows = made.curve(group, ratios, baseline_metric)
            cache.put(key, list[Sensitivity], rows)
            found[group] = rows, False
    return found
