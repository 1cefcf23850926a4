"""A whole search for one model of each family, beside its toolkit's published figures.

    python -m benchmarks.models.searches [--only NAME ...] [--work FOLDER]

writes bench/searches.json and the table in docs/benchmarks.md. A search whose run folder is
finished is not run again; one that was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.models.measure import EVAL_BATCH, WORK, ensure_weights
from benchmarks.models.zoo import CASES, ModelCase
from benchmarks.page import write_table
from benchmarks.summary import machine

TARGET = Path("bench/searches.json")
BUDGET = 0.1
HEADER = (
    "| model | metric on test | latency, ms | size, MB | its toolkit's own |\n"
    "| --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True)
class Search:
    """The settings of one model's search, and its toolkit's published figures."""

    model: str
    published: str
    trials: int = 24
    settings: dict[str, Any] = field(default_factory=dict)


SEARCHES = {
    search.model: search
    for search in (
        Search(
            "MobileNetV2",
            "2.35x on CPU, 6.2x smaller (PaddleX)",
            settings={"finetune_samples": 4800, "qat_samples": 960, "retrain_samples": 12_000},
        ),
        Search(
            "UNet",
            "2.42x on CPU, 3.0x smaller (PaddleX)",
            settings={"finetune_samples": 160, "qat_samples": 80, "retrain_samples": 1_200},
        ),
        Search(
            "YOLOv3-MobileNetV1",
            "1.75x on CPU, 4.1x smaller (PaddleX)",
            settings={
                "finetune_samples": 400,
                "qat_samples": 160,
                "retrain_samples": 3_000,
                # The recipe's 0.001 changes little: the loss is a sum and its gradient is clipped
                # (LOG: why YOLOv3 had no row).
                "learning_rate": 0.03,
            },
        ),
        Search(
            "DB-MobileNetV3",
            "1.58x on a phone, 3.1x smaller with the recogniser (PaddleOCR)",
            settings={"finetune_samples": 400, "qat_samples": 160, "retrain_samples": 3_000},
        ),
    )
}


def case_settings(case: ModelCase, work: Path) -> dict[str, Any]:
    """Return the settings of every command for a model. Trains its weights if they are missing."""
    ensure_weights(case, work)
    return {
        "task_options": json.dumps(case.task_options(work)),
        "calibration": case.calibration,
        "calibration_samples": 64,
        "eval_batch": EVAL_BATCH,
        "latency_batch": case.latency_batch,
        "cache": work / "cache",
    }


def searched(search: Search, work: Path) -> dict[str, Any]:
    """Return the manifest of a search, or why it failed."""
    case = CASES[search.model]
    out = work / "searches" / search.model
    settings = {
        **case_settings(case, work),
        "retrain_qat_samples": search.settings["retrain_samples"] // 4,
        **search.settings,
    }
    command = [sys.executable, "-m", "search.run"]
    if not (out / "config.yaml").is_file():
        command += ["--budget", str(BUDGET), "--task", case.task, "--trials", str(search.trials)]
        command += ["--out", str(out)]
        command += [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    else:
        command += ["--resume", str(out)]
    if not (out / "manifest.json").is_file():
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            command, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
        if ended.returncode != 0:
            return {"model": search.model, "failed": ended.stderr.strip().splitlines()[-1]}
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return {"model": search.model, "published": search.published, **manifest}


def line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"| {row['model']} | {row['failed']} | | | |"
    metric, latency, size = row["metric"], row["latency_ms"], row["size_bytes"]
    before, after = metric["baseline_test"], metric["winner_test"]
    smaller = size["baseline"] / size["winner"]
    return (
        f"| {row['model']} | {metric['name']} {before:.3f} to {after:.3f} "
        f"({metric['loss_test']:+.1%} loss) "
        f"| {latency['baseline']:.1f} to {latency['winner']:.2f} ({1 / latency['ratio']:.1f}x) "
        f"| {size['baseline'] / 1e6:.1f} to {size['winner'] / 1e6:.2f} ({smaller:.1f}x) "
        f"| {row['published']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(SEARCHES), choices=list(SEARCHES))
    parser.add_argument("--work", type=Path, default=WORK)
    chosen = parser.parse_args()
    found = json.loads(TARGET.read_text()) if TARGET.is_file() else {"searches": []}
    rows = {row["model"]: row for row in found["searches"]}
    for name in chosen.only:
        today = datetime.now(timezone.utc).date().isoformat()
        row = searched(SEARCHES[name], chosen.work.absolute())
        rows[name] = {**row, "machine": machine(), "date": today}
        print(line(rows[name]), flush=True)
        ordered = [rows[model] for model in SEARCHES if model in rows]
        TARGET.write_text(json.dumps({"searches": ordered}, indent=1) + "\n")
    lines = [line(rows[model]) for model in SEARCHES if model in rows]
    write_table("searches", "\n".join([HEADER, *lines]))


if __name__ == "__main__":
    main()
