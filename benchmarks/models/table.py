"""All models of the toolkits' pruning pages in one table: `make models`.

    python -m benchmarks.models.table [--only NAME ...] [--work FOLDER]

writes bench/models.json, a row per model, and the table in docs/benchmarks.md. Each model has its
own process; rows of models that are not measured again stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.models.measure import WORK
from benchmarks.models.zoo import CASES
from benchmarks.page import write_table
from benchmarks.summary import machine

TARGET = Path("bench/models.json")
HEADER = (
    "| model | groups (excluded) | parameters, M | MACs kept | size, MB | latency, ms | metric |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def measured(name: str, work: Path) -> dict[str, Any]:
    """Return a model's row, or why it failed."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.models.measure", name, "--work", str(work)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        return {"model": name, "failed": reason}
    row: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return row


def line(row: dict[str, Any]) -> str:
    """Return a model's line of the table: unpruned, pruned, pruned in INT8."""
    if "failed" in row:
        return f"| {row['model']} | {row['failed']} | | | | | |"
    before, after = (count / 1e6 for count in row["parameters"])
    sizes = " / ".join(f"{size / 1e6:.2f}" for size in row["size_bytes"])
    whole = row["latency_ms"][0]
    latencies = " / ".join(f"{ratio * whole:.1f}" for ratio in row["latency_ratio"])
    metrics = " / ".join(f"{metric:.3f}" for metric in row["metric"])
    return (
        f"| {row['model']} | {row['groups']} ({len(row['left_out'])}) | {before:.2f} / {after:.2f} "
        f"| {row['multiply_adds_kept']:.0%} | {sizes} | {latencies} "
        f"| {row['metric_name']} {metrics} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--work", type=Path, default=WORK)
    chosen = parser.parse_args()
    found = json.loads(TARGET.read_text()) if TARGET.is_file() else {"models": []}
    rows = {row["model"]: row for row in found["models"]}
    stamp = {"machine": machine(), "date": datetime.now(timezone.utc).date().isoformat()}
    for name in chosen.only:
        rows[name] = {**measured(name, chosen.work.absolute()), **stamp}
        print(line(rows[name]), flush=True)
        # Rows are written one by one: all of them take hours.
        ordered = [rows[case] for case in CASES if case in rows]
        TARGET.write_text(json.dumps({"models": ordered}, indent=1) + "\n")
    lines = [line(rows[case]) for case in CASES if case in rows]
    write_table("make models", "\n".join([HEADER, *lines]))


if __name__ == "__main__":
    main()
