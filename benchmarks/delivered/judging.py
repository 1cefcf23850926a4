"""All delivered models of a block, evaluated and timed together at its end.

Methods measure beside their own training; here every model has the same quiet conditions, the same
splits and the same baseline, and is timed in turn with all others of its problem and seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.delivered.block import block_folder, read_rows
from benchmarks.delivered.cell import Row
from spaces.plan import Precision
from trainables.deployment.engines.registry import LocalKind
from trainables.files.codec import decode

JUDGED = "judged.json"


@dataclass(frozen=True)
class OnEngine:
    """A delivered model beside the float baseline on its own engine."""

    engine: LocalKind
    precision: Precision
    metric_name: str
    latency_ratio: float
    """Median over rounds."""
    metric_test: tuple[float, float]
    """The baseline's, then the delivered model's; those below likewise."""
    latency_ms: tuple[float, float]
    size_bytes: tuple[int, int]
    untrained_ms: float | None = None
    """The baseline in the fastest precision that needs no data, of a model that was exported
    elsewhere."""


@dataclass(frozen=True)
class Judged:
    """A delivered model's figures, all relative to the float baseline, whose latency and size are
    those on Paddle Inference: so models on different engines compare."""

    problem: str
    method: str
    seed: int
    budget: float
    delivered: bool
    """Whether a model kept the budget; without one all figures are the baseline's."""
    latency_ratio: float
    size_ratio: float
    loss_val: float
    error_val: float
    loss_test: float
    error_test: float
    """Standard error of loss_test; error_val likewise."""
    processor_s: float
    at: str = ""
    """When its block was judged, in UTC: models with equal times were timed in turn."""
    processor: str = ""
    """The machine's processor."""
    commit: str | None = None
    """The commit of this project that was measured; None if it is not known."""
    on_engine: OnEngine | None = None
    """None in older judgements, and if the baseline is delivered."""

    @property
    def judgement(self) -> tuple[str, int, str]:
        """What it has in common with the models that it was timed with."""
        return (self.problem, self.seed, self.at)


def judge(problem: str, seed: int, seconds: float, work: Path) -> list[Judged]:
    """Return the figures of all delivered models of a block; written below `work` too.

    They are measured in a process of its own, with one thread. Nothing is measured again if the
    same cells were judged before.
    """
    rows = read_rows(work, seconds, problem, seed)
    folder = block_folder(work, seconds, problem, seed)
    if not _same(rows, read_judged(folder)):
        command = [sys.executable, "-m", "benchmarks.delivered.jury", problem, str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "FLAGS_enable_pir_api": "0"}
        subprocess.run([*command, f"{seconds:g}", str(work)], check=True, env=environment)
    return read_judged(folder)


def latest(known: Sequence[Judged], found: Sequence[Judged]) -> list[Judged]:
    """Return the judgements to keep: all but those whose methods a later one of the same block has.

    So blocks that were measured on other days and machines stay, and no two of their models that
    were not timed in turn are compared (figures.py).
    """
    methods: dict[tuple[str, int, str], set[str]] = {}
    for model in (*known, *found):
        methods.setdefault(model.judgement, set()).add(model.method)

    def replaced(mine: tuple[str, int, str]) -> bool:
        return any(
            other[:2] == mine[:2] and other[2] > mine[2] and methods[other] >= methods[mine]
            for other in methods
        )

    models = {(*model.judgement, model.method): model for model in (*known, *found)}
    return [model for _, model in sorted(models.items()) if not replaced(model.judgement)]


def _same(rows: Sequence[Row], known: Sequence[Judged]) -> bool:
    """Return whether the judged models are those of the rows."""
    return {(model.method, model.seed, model.processor_s) for model in known} == {
        (row.method, row.seed, row.processor_s) for row in rows
    }


def read_judged(folder: Path) -> list[Judged]:
    file = folder / JUDGED
    return decode(list[Judged], file.read_bytes()) if file.is_file() else []
