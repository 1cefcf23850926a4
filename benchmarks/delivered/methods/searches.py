"""A search by its own command, as a method: of this work tree, or of another one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.delivered.model import DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.processor import ProcessorClock
from benchmarks.delivered.team import work_folder
from search.config import read_config_file
from search.records.run_folder import CONFIG, PLAN
from spaces.plan import Plan
from trainables.deployment.engines.registry import LocalKind

# A command that has used this multiple of its processor time is ended, and delivers the baseline.
PATIENCE = 1.5
# Seconds between two looks at the clock.
INTERVAL_S = 1.0


def settings_of(problem: Problem, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Return the settings of a search that is to end within `seconds` of processor time."""
    lengths = problem.lengths.within(seconds)
    return {
        **problem.command_settings(work_folder(folder)),
        "budget": problem.budget,
        "seed": seed,
        "cache": str(folder / "cache"),
        "finetune_samples": lengths.trial,
        "qat_samples": lengths.trial_quantized,
        "retrain_samples": lengths.full,
        "retrain_qat_samples": lengths.full_quantized,
    }


def command(settings: Mapping[str, Any], out: Path) -> list[str]:
    """Return the command of a search; the settings are its configuration's file."""
    file = out.with_suffix(".yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    file.write_text(json.dumps(dict(settings)))
    return [sys.executable, "-m", "search.run", "--config", str(file), "--out", str(out)]


def search(
    settings: Mapping[str, Any], tree: Path, seconds: float, folder: Path, **notes: object
) -> DeliveredModel:
    """Run the search of a work tree; return what it delivers. A run that stands is resumed."""
    out = folder / "run"
    if (out / "config.yaml").is_file():
        asked = [sys.executable, "-m", "search.run", "--resume", str(out)]
    else:
        asked = command(settings, out)
    with ProcessorClock() as clock:
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        with (folder / "log").open("w") as log:
            child = subprocess.Popen(
                asked, cwd=tree, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            status = _wait(child, clock, PATIENCE * seconds)
        notes["status"] = status
        return read_delivered(out, clock.seconds(), **notes)


def _wait(child: subprocess.Popen[bytes], clock: ProcessorClock, limit_s: float) -> int | str:
    """Return the child's exit status, or why it was ended."""
    while True:
        try:
            return child.wait(timeout=INTERVAL_S)
        except subprocess.TimeoutExpired:
            if clock.seconds() > limit_s:
                child.send_signal(signal.SIGTERM)
                child.wait()
                return f"ended after {limit_s:.0f} s of processor time"


def read_delivered(out: Path, processor_s: float, **notes: object) -> DeliveredModel:
    """Return what a run has delivered, the baseline if it has no manifest."""
    if not (out / "manifest.json").is_file():
        return DeliveredModel.of(None, processor_s, **notes)
    manifest = json.loads((out / "manifest.json").read_text())
    plan = Plan.from_json(json.loads((out / PLAN).read_text()))
    metric = manifest["metric"]
    words = {name: str(value) for name, value in notes.items()}
    return DeliveredModel(
        str(out / "model"),
        plan.quantization.precision,
        processor_s,
        metric["loss_val"],
        metric["loss_val_standard_error"],
        plan,
        {**words, "trials": json.dumps(manifest.get("trials"))},
        _engine(out),
    )


def _engine(out: Path) -> LocalKind:
    """Return the engine of a finished run, which has replaced `auto`. An older run names none."""
    engine = read_config_file(out / CONFIG).get("engine", "onednn")
    return cast("LocalKind", engine)
