"""A search by its own command, as a method: of this work tree, or of another one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.delivered.model import DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.processor import ProcessorClock
from benchmarks.delivered.team import work_folder
from spaces.plan import Plan

# Share of the processor time after which no further trial is started: the rest is for training in
# full. A guess.
SEARCH_SHARE = 0.65
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
    """Run the search of a work tree; return what it delivers.

    A search that is still trying plans after `SEARCH_SHARE` of the time is ended and resumed with
    as many trials as have finished, as if its user had asked for no more.
    """
    out = folder / "run"
    with ProcessorClock() as clock, (folder / "log").open("w") as log:

        def ran(asked: list[str], limit_s: float, until: Callable[[], bool]) -> int | None:
            environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
            child = subprocess.Popen(
                asked, cwd=tree, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
            return _wait(child, clock, limit_s, until)

        status = ran(command(settings, out), SEARCH_SHARE * seconds, lambda: has_searched(out))
        if status is None:
            notes["trials_cut_to"] = cut_trials(out)
            resume = [sys.executable, "-m", "search.run", "--resume", str(out)]
            status = ran(resume, PATIENCE * seconds, lambda: False)
        notes["status"] = "ended, out of time" if status is None else status
        return read_delivered(out, clock.seconds(), **notes)


def has_searched(out: Path) -> bool:
    """Return whether a run has ended its search, and trains or has trained in full."""
    file = out / "stages" / "seconds.json"
    return file.is_file() and "search" in json.loads(file.read_text())


def cut_trials(out: Path) -> int:
    """Set the trials of an interrupted run to those that have finished, 1 at least."""
    finished = len({file.stem[:6] for file in (out / "trials").glob("*.parquet")})
    config = yaml.safe_load((out / "config.yaml").read_text())
    config["trials"] = max(1, finished)
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    return max(1, finished)


def _wait(
    child: subprocess.Popen[bytes],
    clock: ProcessorClock,
    limit_s: float,
    until: Callable[[], bool],
) -> int | None:
    """Return the child's exit status; None if it was ended at the limit, before `until`.

    After `until` the limit is that of the whole flow.
    """
    while True:
        try:
            return child.wait(timeout=INTERVAL_S)
        except subprocess.TimeoutExpired:
            limit = PATIENCE / SEARCH_SHARE * limit_s if until() else limit_s
            if clock.seconds() > limit:
                child.send_signal(signal.SIGTERM)
                child.wait()
                return None


def read_delivered(out: Path, processor_s: float, **notes: object) -> DeliveredModel:
    """Return what a run has delivered, the baseline if it has no manifest."""
    if not (out / "manifest.json").is_file():
        return DeliveredModel.of(None, processor_s, **notes)
    manifest = json.loads((out / "manifest.json").read_text())
    plan = Plan.from_json(manifest["plan"])
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
    )
