"""All delivered models of a block, evaluated and timed together at its end.

Methods measure beside their own training; here every model has the same quiet conditions, the same
splits and the same baseline, and is timed in turn with all others of its problem and seed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from benchmarks.delivered.block import block_folder, read_rows
from benchmarks.delivered.cell import Row
from benchmarks.delivered.problems import PROBLEMS
from trainables.deployment.engines.registry import LocalKind
from trainables.files.codec import decode, encode
from trainables.task import Split

JUDGED = "judged.json"
# Seconds of timing for each model. A guess.
SECONDS_EACH = 4.0
ROUNDS = 60


@dataclass(frozen=True)
class Judged:
    """A delivered model's figures, all relative to the float baseline on Paddle Inference."""

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
    engine: LocalKind = "onednn"
    """What runs it."""

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
        command = [sys.executable, "-m", "benchmarks.delivered.judging", problem, str(seed)]
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


def _judge(rows: Sequence[Row], work: Path, folder: Path) -> list[Judged]:
    from clusters.lease import device_lease
    from spaces.plan import QuantizationChoice
    from trainables.compression.quantization import export_candidate
    from trainables.deployment.engines.protocol import Engine
    from trainables.deployment.engines.registry import runtime
    from trainables.deployment.exported import size_bytes
    from trainables.evaluation import evaluate, first_samples
    from trainables.final import loss_on_test
    from trainables.loading import study_task
    from trainables.metrics import loss_standard_error, metric_value
    from trainables.models import new_model
    from trainables.probe import Effort, time_in_turn

    if not rows:
        return []
    problem = PROBLEMS[rows[0].problem]
    settings = problem.settings(work, folder, 0)
    task = study_task(settings)
    shutil.rmtree(folder, ignore_errors=True)
    baseline, _ = export_candidate(
        new_model(task), QuantizationChoice.FLOAT, None, task, settings, folder
    )
    models = [row for row in rows if row.folder is not None]
    engines = [
        runtime(row.engine).load(Path(row.folder), row.precision, settings.threads)
        for row in models
    ]
    effort = Effort(ROUNDS, SECONDS_EACH * (len(engines) + 1))
    batches = [first_samples(task, settings.latency_batch)]
    runs_ms = time_in_turn([baseline, *engines], batches, device_lease(), effort)[..., 0]
    ratios = np.median(runs_ms[:, 1:] / runs_ms[:, :1], axis=0)

    def statistics(engine: Engine, split: Split) -> np.ndarray:
        return evaluate(engine.run, task, split, settings.eval_batch)

    before = {split: statistics(baseline, split) for split in ("val", "test")}

    def loss(split: Split, after: np.ndarray) -> tuple[float, float]:
        values = (metric_value(task.metric, rows) for rows in (before[split], after))
        error = loss_standard_error(task.metric, before[split], after)
        return loss_on_test(task.metric, *values), error

    size = size_bytes(folder)

    def judged(row: Row) -> Judged:
        ratio, relative, losses = 1.0, 1.0, [(0.0, 0.0), (0.0, 0.0)]
        if row.folder is not None:
            index = models.index(row)
            ratio = float(ratios[index])
            files = runtime(row.engine).files(row.precision)
            relative = size_bytes(Path(row.folder), files) / size
            losses = [loss(s, statistics(engines[index], s)) for s in ("val", "test")]
        given = (row.problem, row.method, row.seed, row.budget, row.folder is not None)
        figures = (ratio, relative, *losses[0], *losses[1], row.processor_s)
        return Judged(*given, *figures, engine=row.engine)

    return [judged(row) for row in rows]


def _commit() -> str | None:
    """Return the commit of the work tree, None outside of one."""
    command = ["git", "rev-parse", "--short=10", "HEAD"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or None


def main() -> None:
    from trainables.files.cache import processor

    problem, seed, seconds, work = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    folder = block_folder(Path(work), seconds, problem, seed)
    rows = read_rows(Path(work), seconds, problem, seed)
    found = _judge(rows, Path(work), folder / "judging")
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    stamped = [replace(m, at=at, processor=processor(), commit=_commit()) for m in found]
    (folder / JUDGED).write_text(encode(list[Judged], stamped, indent=1))


if __name__ == "__main__":
    main()
