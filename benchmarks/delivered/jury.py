"""The delivered models of a block, each on its own engine, beside the float baseline.

    python -m benchmarks.delivered.jury PROBLEM SEED SECONDS WORK

writes judged.json into the block's folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from benchmarks.delivered.block import block_folder, read_rows
from benchmarks.delivered.cell import Row
from benchmarks.delivered.judging import JUDGED, Judged, OnEngine
from benchmarks.delivered.problems import Problem, problem_named
from clusters.lease import device_lease
from spaces.plan import Precision, QuantizationChoice
from trainables.compression.quantization import export_candidate
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import LocalKind, runtime
from trainables.deployment.exported import PADDLE_FILES, size_bytes
from trainables.evaluation import evaluate, first_samples
from trainables.files.cache import processor
from trainables.files.codec import encode
from trainables.final import loss_on_test
from trainables.loading import study_task
from trainables.metrics import loss_standard_error, metric_value
from trainables.models import new_model
from trainables.probe import Effort, time_in_turn
from trainables.settings import TrialSettings
from trainables.task import Split, Task

# Seconds of timing for each model, and most rounds. Guesses.
SECONDS_EACH, ROUNDS = 4.0, 60
# The engine of the baseline that all models are relative to.
COMMON: LocalKind = "onednn"
SPLITS: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class Baseline:
    """The unpruned model on one engine."""

    engines: Mapping[Precision, Engine]
    """In float; of a model that was exported elsewhere also in other precisions without data."""
    size_bytes: int
    statistics: Mapping[Split, np.ndarray]


class Jury:
    """Evaluates the models of one problem."""

    def __init__(self, problem: Problem, work: Path, folder: Path) -> None:
        """Load the data. What is in `folder` is deleted."""
        shutil.rmtree(folder, ignore_errors=True)
        self._problem, self._work, self._folder = problem, work, folder
        self.settings: TrialSettings = problem.settings(work, folder, 0)
        self.task: Task = study_task(self.settings)

    def baseline(self, kind: LocalKind) -> Baseline:
        """Return the unpruned model on an engine: as shipped if it was exported elsewhere."""
        folder, exported = self._folder / kind, self._problem.exported
        files = runtime(kind).files("float")
        if exported is None:
            settings = self.settings.having(engine=kind)
            model = new_model(self.task)
            choice = QuantizationChoice.FLOAT
            engine, _ = export_candidate(model, choice, None, self.task, settings, folder)
            engines: dict[Precision, Engine] = {"float": engine}
        else:
            folder.mkdir(parents=True)
            for name in PADDLE_FILES:
                shutil.copyfile(exported.shipped(self._work) / name, folder / name)
            runtime(kind).prepare(folder, "float")
            engines = {"float": runtime(kind).load(folder, "float", self.settings.threads)}
            engines |= self._untrained(kind, folder)
        found = self.statistics(engines["float"])
        return Baseline(engines, size_bytes(folder, files), found)

    def _untrained(self, kind: LocalKind, folder: Path) -> dict[Precision, Engine]:
        """Return a model in the precisions below float that need no data and run it."""
        found: dict[Precision, Engine] = {}
        for precision in runtime(kind).precisions():
            if precision not in ("float", "int8"):
                try:
                    engine = runtime(kind).load(folder, precision, self.settings.threads)
                    engine.run(first_samples(self.task, 1))
                except Exception:  # Each engine raises its own types.
                    continue
                found[precision] = engine
        return found

    def load(self, row: Row) -> Engine:
        """Return a delivered model on its engine."""
        folder = Path(str(row.folder))
        return runtime(row.engine).load(folder, row.precision, self.settings.threads)

    def statistics(self, engine: Engine) -> dict[Split, np.ndarray]:
        """Return the metric's statistics of each sample, by split."""
        return {
            split: evaluate(engine.run, self.task, split, self.settings.eval_batch)
            for split in SPLITS
        }

    def times_ms(self, engines: Sequence[Engine]) -> np.ndarray:
        """Return the milliseconds of engines in turn, shape (rounds, engines)."""
        effort = Effort(ROUNDS, SECONDS_EACH * len(engines))
        batches = [first_samples(self.task, self.settings.latency_batch)]
        return np.asarray(time_in_turn(engines, batches, device_lease(), effort)[..., 0])

    def loss(self, baseline: Baseline, found: np.ndarray, split: Split) -> tuple[float, float]:
        """Return the relative loss on a split, and its standard error."""
        metric, before = self.task.metric, baseline.statistics[split]
        values = (metric_value(metric, rows) for rows in (before, found))
        return loss_on_test(metric, *values), loss_standard_error(metric, before, found)

    def judge(
        self,
        row: Row,
        engine: Engine,
        baselines: Mapping[LocalKind, Baseline],
        ms: Mapping[int, np.ndarray],
    ) -> Judged:
        """Return a model's figures; `ms` has the milliseconds of every round by the engine's id."""
        common, baseline = baselines[COMMON], baselines[row.engine]
        found = self.statistics(engine)
        losses = [self.loss(baseline, found[split], split) for split in SPLITS]
        whole, mine = ms[id(baseline.engines["float"])], ms[id(engine)]
        size = size_bytes(Path(str(row.folder)), runtime(row.engine).files(row.precision))
        metric, tests = self.task.metric, (baseline.statistics["test"], found["test"])
        untrained = [float(np.median(ms[id(other)])) for other in baseline.engines.values()]
        on_engine = OnEngine(
            row.engine,
            row.precision,
            metric.name,
            float(np.median(mine / whole)),
            (metric_value(metric, tests[0]), metric_value(metric, tests[1])),
            (float(np.median(whole)), float(np.median(mine))),
            (baseline.size_bytes, size),
            min(untrained) if self._problem.exported is not None else None,
        )
        ratio = float(np.median(mine / ms[id(common.engines["float"])]))
        ratios = ratio, size / common.size_bytes
        given = (row.problem, row.method, row.seed, row.budget, True)
        return Judged(*given, *ratios, *losses[0], *losses[1], row.processor_s, on_engine=on_engine)


def judged(rows: Sequence[Row], work: Path, folder: Path) -> list[Judged]:
    """Return the figures of all models of a block, which are timed in turn."""
    models = [row for row in rows if row.folder is not None]
    found: dict[str, Judged] = {}
    if models:
        jury = Jury(problem_named(rows[0].problem), work, folder)
        kinds = {COMMON, *(row.engine for row in models)}
        baselines = {kind: jury.baseline(kind) for kind in kinds}
        engines = {row.method: jury.load(row) for row in models}
        wholes = [e for baseline in baselines.values() for e in baseline.engines.values()]
        timed = [*wholes, *engines.values()]
        columns = jury.times_ms(timed).T
        ms = {id(engine): column for engine, column in zip(timed, columns, strict=True)}
        found = {row.method: jury.judge(row, engines[row.method], baselines, ms) for row in models}
    return [found.get(row.method) or _nothing(row) for row in rows]


def _nothing(row: Row) -> Judged:
    """Return the figures of a method that delivers the baseline."""
    given = (row.problem, row.method, row.seed, row.budget, False)
    return Judged(*given, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, row.processor_s)


def _commit() -> str | None:
    """Return the commit of the work tree, None outside of one."""
    command = ["git", "rev-parse", "--short=10", "HEAD"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or None


def main() -> None:
    problem, seed, seconds, work = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    folder = block_folder(Path(work), seconds, problem, seed)
    rows = read_rows(Path(work), seconds, problem, seed)
    found = judged(rows, Path(work), folder / "judging")
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    stamped = [replace(m, at=at, processor=processor(), commit=_commit()) for m in found]
    (folder / JUDGED).write_text(encode(list[Judged], stamped, indent=1))


if __name__ == "__main__":
    main()
