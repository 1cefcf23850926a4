"""One method on one problem with one seed, in a process of its own.

    python -m benchmarks.delivered.cell PROBLEM SEED SECONDS METHOD FOLDER

writes FOLDER/row.json. The process is the root of the tree whose processor time counts.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.delivered.model import DeliveredModel
from trainables.deployment.engines.registry import LocalKind
from trainables.files.codec import PlanField, encode

ROW = "row.json"


@dataclass(frozen=True)
class Row:
    """A finished cell."""

    problem: str
    method: str
    seed: int
    seconds: float
    """Processor seconds that the method was given."""
    budget: float
    folder: str | None
    """Folder of the delivered model; None: nothing kept the budget, the baseline is delivered."""
    precision: str
    plan: PlanField | None
    processor_s: float
    wall_s: float
    metric_loss: float
    standard_error: float
    date: str
    notes: dict[str, str] = field(default_factory=dict)
    engine: LocalKind = "onednn"


def run_cell(name: str, seed: int, seconds: float, method: str, folder: Path) -> Row:
    """Return the row of a cell. Whatever the method leaves running is ended."""
    from benchmarks.delivered.methods import ALL
    from benchmarks.delivered.problems import problem_named
    from benchmarks.delivered.processor import adopt_orphans, end_descendants

    adopt_orphans()
    problem = problem_named(name)
    started = time.monotonic()
    try:
        found: DeliveredModel = ALL[method](problem, seed, seconds, folder)
    finally:
        end_descendants()
    return Row(
        problem=name,
        method=method,
        seed=seed,
        seconds=seconds,
        budget=problem.budget,
        folder=found.folder,
        precision=found.precision,
        plan=found.plan,
        processor_s=round(found.processor_s, 1),
        wall_s=round(time.monotonic() - started, 1),
        metric_loss=found.metric_loss,
        standard_error=found.standard_error,
        date=datetime.now(timezone.utc).date().isoformat(),
        notes=found.notes,
        engine=found.engine,
    )


def main() -> None:
    name, seed, seconds, method, target = sys.argv[1:]
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    folder = Path(target).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    row = run_cell(name, int(seed), float(seconds), method, folder)
    temporary = folder / f".{ROW}"
    temporary.write_text(encode(Row, row, indent=1))
    temporary.rename(folder / ROW)


if __name__ == "__main__":
    main()
