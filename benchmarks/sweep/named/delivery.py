"""From a file to its delivered model, by the commands of a user."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sweep.named.files import SETTINGS, Named

WEIGHTS, RUN, APPLIED = "weights.safetensors", "run", "applied"
BASELINE, MANIFEST = "stages/baseline.json", "manifest.json"
# Where a plan replaces a search: the ratio of each group.
RATIOS = "ratios.yaml"
# The output of all commands of a file.
LOG = "commands.log"
# The ratio of every group, where a plan replaces a search. A guess.
RATIO = 0.3
# A line of `search.apply groups` that names a group with channels.
GROUP = re.compile(r"^(\S+): \d+ channels", re.MULTILINE)
# Greatest length of a command's last line in a row. A guess.
WORDS = 300
# Ratio of latency or size above which the program says that nothing was gained: `GAIN` in
# search/reporting/advice.py.
GAIN = 0.95


@dataclass(frozen=True)
class Ended:
    """The end of a command. `status` is None if it took too long."""

    status: int | None
    said: str
    error: str


def command(folder: Path, arguments: list[str], limit_s: float) -> Ended:
    """Run one of the program's commands in a folder; terminate it after `limit_s`."""
    # By default Ray's workers yield to all other processes, and hardly advance beside them
    # (LOG: what was left of the named files).
    environment = {"RAY_worker_niceness": "0", **os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        late = False
        try:
            said, error = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            late = True
            process.terminate()
            said, error = process.communicate()
    with (folder / LOG).open("a") as log:
        log.write(f"$ {' '.join(arguments)}\n{said}{error}\n")
    return Ended(None if late else process.returncode, said, error)


def task_arguments(named: Named, spec: str, file: Path) -> list[str]:
    return [
        *("--task", spec, "--config-file", str(file), "--weights", WEIGHTS),
        *("-o", f"task_options={json.dumps(dict(named.options))}"),
    ]


def write_settings(folder: Path, named: Named) -> dict[str, Any]:
    """Write slimsearch.yaml, which the commands read in their current folder."""
    settings = {**SETTINGS, **named.settings, "cache": str(folder.absolute() / "cache")}
    (folder / "slimsearch.yaml").write_text(yaml.safe_dump(settings))
    return settings


def search(folder: Path, task: list[str], limit_s: float) -> Ended:
    """Run or resume a search; a finished one is used as it is."""
    if (folder / RUN / MANIFEST).is_file():
        return Ended(0, "", "")
    if (folder / RUN / "config.yaml").is_file():
        return command(folder, ["search.run", "--resume", RUN], limit_s)
    return command(folder, ["search.run", "--out", RUN, *task], limit_s)


def apply(folder: Path, task: list[str], limit_s: float) -> Ended:
    """Deliver the plan with RATIO for every group that the program lists."""
    # A failed apply has left files there.
    shutil.rmtree(folder / APPLIED, ignore_errors=True)
    listed = command(folder, ["search.apply", "groups", *task], limit_s)
    if listed.status != 0:
        return listed
    ratios = dict.fromkeys(GROUP.findall(listed.said), RATIO)
    (folder / RATIOS).write_text(yaml.safe_dump(ratios))
    out = ["--out", APPLIED]
    return command(folder, ["search.apply", "explicit", "--ratios", RATIOS, *out, *task], limit_s)


def of_search(folder: Path) -> dict[str, Any]:
    """Return a row's figures from the manifest and stages of a finished run."""
    run = folder / RUN
    manifest = json.loads((run / MANIFEST).read_text())
    metric, sizes = manifest["metric"], manifest["size_bytes"]
    return {
        "how": "search",
        "trials": manifest["trials"]["finished"],
        "budget": manifest["budget"],
        "metric_name": metric["name"],
        "baseline_val": metric["baseline_val"],
        "delivered_val": metric["winner_val"],
        "baseline_test": metric["baseline_test"],
        "delivered_test": metric["winner_test"],
        "loss_val": metric["loss_val"],
        "loss_test": metric["loss_test"],
        "latency_ratio": manifest["latency_ms"]["ratio"],
        "size_ratio": sizes["winner"] / sizes["baseline"],
        **of_baseline(run),
    }


def of_apply(folder: Path) -> dict[str, Any]:
    """Return a row's figures from the outcome of `search.apply`."""
    run = folder / APPLIED
    outcome = json.loads((run / "outcome.json").read_text())
    final, sizes = outcome["test"], outcome["test"]["size_bytes"]
    baseline = json.loads((run / BASELINE).read_text())
    return {
        "how": "apply",
        "metric_name": baseline["metric_name"],
        "baseline_val": baseline["metric"],
        "delivered_val": outcome["val"]["metric"],
        "baseline_test": final["baseline_test"],
        "delivered_test": final["winner_test"],
        "loss_val": outcome["val"]["metric_loss"],
        "loss_test": final["metric_loss_test"],
        "latency_ratio": final["latency"]["ratio"],
        "size_ratio": sizes["winner"] / sizes["baseline"],
        **of_baseline(run),
    }


def of_baseline(run: Path) -> dict[str, Any]:
    """Return what a run's baseline can lose; the run may be unfinished."""
    found = json.loads((run / BASELINE).read_text())
    return {
        "groups": len(found["groups"]),
        "excluded": len(found["left_out"]),
        # A run of an older version has none.
        "branches": len(found["branches"]) if "branches" in found else None,
    }


def digests_hold(run: Path) -> bool:
    """Return whether the delivered files have the manifest's digests."""
    named: Mapping[str, str] = json.loads((run / MANIFEST).read_text())["sha256"]
    return all(
        hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
        for name, digest in named.items()
    )


def delivered_metric(run: Path, spec: str, options: Mapping[str, Any]) -> float:
    """Return the delivered model's metric on validation, on the engine it is deployed on."""
    from spaces.plan import Plan
    from trainables.deployment.engines.paddle_inference import PaddleEngine
    from trainables.evaluation import evaluate
    from trainables.loading import load_task
    from trainables.metrics import metric_value

    task = load_task(spec, options)
    plan = Plan.from_json(json.loads((run / "plan.json").read_text()))
    engine = PaddleEngine(run / "model", plan.quantization.precision, 1)
    return metric_value(task.metric, evaluate(engine.run, task, "val", SETTINGS["eval_batch"]))


def outcome(ended: Ended) -> str:
    """Return a description of the end of a command that did not deliver."""
    if ended.status is None:
        return "took too long"
    lines = (ended.error.strip() or ended.said.strip()).splitlines()
    return f"ended with {ended.status}: {lines[-1][:WORDS] if lines else 'nothing said'}"
