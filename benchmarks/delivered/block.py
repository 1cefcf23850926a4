"""Cells in order, and the rows of those that have finished."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.delivered.cell import ROW, Row
from trainables.files.codec import decode

WORK = Path("bench/work")


def seconds_folder(work: Path, seconds: float) -> Path:
    """Return the folder of all cells with one processor time."""
    return work / "delivered" / f"{seconds:g}s"


def block_folder(work: Path, seconds: float, problem: str, seed: int) -> Path:
    return seconds_folder(work, seconds) / problem / f"seed-{seed}"


def cell_folder(work: Path, seconds: float, problem: str, seed: int, method: str) -> Path:
    return block_folder(work, seconds, problem, seed) / method.replace(" ", "_")


def prepare(problem: str, work: Path) -> None:
    """Train the problem's baseline in a process of its own: no flow pays for it."""
    code = (
        "import sys, pathlib; from benchmarks.delivered.problems import problem_named; "
        "problem_named(sys.argv[1]).prepare(pathlib.Path(sys.argv[2]))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FLAGS_enable_pir_api": "0"}
    subprocess.run([sys.executable, "-c", code, problem, str(work)], check=True, env=environment)


def run_block(
    problem: str, seed: int, seconds: float, methods: Sequence[str], work: Path
) -> list[Row]:
    """Return the rows of the methods; those that have finished before are read.

    A method that fails is reported and has no row.
    """
    prepare(problem, work)
    rows = []
    for method in methods:
        folder = cell_folder(work, seconds, problem, seed, method)
        row = read_row(folder)
        if row is None:
            row = run_cell_apart(problem, seed, seconds, method, folder)
        if row is not None:
            rows.append(row)
    return rows


def run_cell_apart(
    problem: str, seed: int, seconds: float, method: str, folder: Path
) -> Row | None:
    """Run a cell in a process of its own; return its row, None if it failed."""
    if folder.exists():
        # Processor time of an interrupted attempt is not known, so it begins again.
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.delivered.cell", problem, str(seed)]
    with (folder / "cell.log").open("w") as log:
        ended = subprocess.run(
            [*command, f"{seconds:g}", method, str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    row = read_row(folder)
    if row is None:
        lines = (folder / "cell.log").read_text().strip().splitlines()
        print(f"{problem} {seed} {method}: {lines[-1] if lines else ended.returncode}", flush=True)
    else:
        what = row.folder and f"loss {row.metric_loss:.4f}"
        used = f"{row.processor_s:.0f} s of processor time in {row.wall_s:.0f} s"
        print(f"{problem} {seed} {method}: {what or 'the baseline'}, {used}", flush=True)
    return row


def read_row(folder: Path) -> Row | None:
    """Return the row of a cell, None if it has not finished."""
    file = folder / ROW
    return decode(Row, file.read_bytes()) if file.is_file() else None


def read_rows(
    work: Path, seconds: float, problem: str | None = None, seed: int | None = None
) -> list[Row]:
    """Return the rows of all finished cells, or of those of one problem, or seed."""
    seeds = "*" if seed is None else seed
    files = sorted(seconds_folder(work, seconds).glob(f"{problem or '*'}/seed-{seeds}/*/{ROW}"))
    return [decode(Row, file.read_bytes()) for file in files]
