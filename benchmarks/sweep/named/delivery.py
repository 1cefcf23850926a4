"""One file through to its delivered model, by the commands that a user gives."""

from __future__ import annotations

import hashlib
import json
import os
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
# All that the commands of a file printed.
LOG = "commands.log"
# Of each group, where a uniform plan stands for a search.
RATIO = 0.3
# Characters of a command's last words that a row keeps.
WORDS = 300
# The share of the time or of the size from which on the program says that nothing was gained.
GAIN = 0.95


@dataclass(frozen=True)
class Ended:
    """How a command ended. `status` None: it took too long."""

    status: int | None
    said: str
    error: str


def command(folder: Path, arguments: list[str], limit_s: float) -> Ended:
    """Run one of the program's commands in a folder; interrupt it after so many seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
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
    """Write slimsearch.yaml, which the commands read in the folder that they are given in."""
    settings = {**SETTINGS, **named.settings, "cache": str(folder.absolute() / "cache")}
    (folder / "slimsearch.yaml").write_text(yaml.safe_dump(settings))
    return settings


def search(folder: Path, task: list[str], limit_s: float) -> Ended:
    """Search, or carry on with a search that was interrupted; one that is finished is kept."""
    if (folder / RUN / MANIFEST).is_file():
        return Ended(0, "", "")
    if (folder / RUN / "config.yaml").is_file():
        return command(folder, ["search.run", "--resume", RUN], limit_s)
    return command(folder, ["search.run", "--out", RUN, *task], limit_s)


def apply(folder: Path, task: list[str], limit_s: float) -> Ended:
    # What an apply that failed has left would be in the way.
    shutil.rmtree(folder / APPLIED, ignore_errors=True)
    out = ["--out", APPLIED]
    return command(folder, ["search.apply", "uniform", "--ratio", str(RATIO), *out, *task], limit_s)


def of_search(folder: Path) -> dict[str, Any]:
    """Return a row's figures from the manifest and the stages of a finished run."""
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
    """Return how many groups the baseline of a run, also of an unfinished one, found."""
    found = json.loads((run / BASELINE).read_text())
    return {"groups": len(found["groups"]), "excluded": len(found["left_out"])}


def digests_hold(run: Path) -> bool:
    """Return whether the delivered files are those that the manifest names."""
    named: Mapping[str, str] = json.loads((run / MANIFEST).read_text())["sha256"]
    return all(
        hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
        for name, digest in named.items()
    )


def delivered_metric(run: Path, spec: str, options: Mapping[str, Any]) -> float:
    """Return what the delivered model gets on validation, on the engine it is deployed on."""
    from spaces.plan import Plan
    from trainables.deployment.engine import Engine
    from trainables.evaluation import evaluate
    from trainables.loading import load_task
    from trainables.metrics import metric_value

    task = load_task(spec, options)
    plan = Plan.from_json(json.loads((run / "plan.json").read_text()))
    engine = Engine(run / "model", plan.quantization.precision, 1)
    return metric_value(task.metric, evaluate(engine.run, task, "val", SETTINGS["eval_batch"]))


def outcome(ended: Ended) -> str:
    """Return in words how a command ended that did not deliver."""
    if ended.status is None:
        return "took too long"
    lines = (ended.error.strip() or ended.said.strip()).splitlines()
    return f"ended with {ended.status}: {lines[-1][:WORDS] if lines else 'nothing said'}"
