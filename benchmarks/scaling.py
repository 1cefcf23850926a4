"""Trials per minute by workers, and the memory of a long search.

    python -m benchmarks.scaling [--only PART ...]

writes bench/scaling.json. Workers are real up to the cores of this machine; more are simulated,
with the measured times of the driver and of trials.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from ray import tune

from benchmarks.summary import machine
from benchmarks.tabulated import tabulated
from trainables.files.codec import encode
from trainables.results import TrialResult
from trainables.trainable import PLAN, RESULT

# Trials of a real search. The default of `trials`.
TRIALS = 24
# Trials of the long search. A guess.
LONG = 2_000
# Its first trials, before memory has settled. A guess.
EARLY = 200
# Trials between which a worker's memory is compared. Guesses.
SETTLED, REUSED = 5, 50
SIMULATED = (1, 2, 8, 32, 128, 512)
# The process title of a trial's actor.
TITLE = "ray::CompressionTrainable"


def search_command(out: Path, **settings: object) -> list[str]:
    """Return the command of a search of the built-in problem with a token retrain."""
    chosen = {
        "cache": out.parent / "cache",
        "retrain_samples": 64,
        "retrain_qat_samples": 64,
        "confidence_z": 0,
        **settings,
    }
    options = [part for key, value in chosen.items() for part in ("-o", f"{key}={value}")]
    return [sys.executable, "-m", "search.run", "--budget", "0.1", "--out", str(out), *options]


def trials_per_minute(workers: int, folder: Path) -> dict[str, float]:
    """Return trials per minute of a real search, from the start of its first trial."""
    out = folder / f"workers-{workers}"
    command = search_command(out, trials=TRIALS, concurrency=workers)
    subprocess.run(command, check=False, capture_output=True)
    trials = pd.read_parquet(out / "trials")
    ended = trials["started_at"] + pd.to_timedelta(trials["wall_s"], unit="s")
    spent_s = (ended.max() - trials["started_at"].min()).total_seconds()
    return {
        "trials_per_minute": 60 * len(trials) / spent_s,
        "trial_s": float(trials["wall_s"].mean()),
        "trials": len(trials),
    }


def workers_part() -> dict[str, Any]:
    """Return trials per minute with one worker and with two, each on its own core."""
    with tempfile.TemporaryDirectory() as folder:
        # A first run fills the latency cache for both.
        trials_per_minute(2, Path(folder) / "first")
        found = {count: trials_per_minute(count, Path(folder)) for count in (1, 2)}
    gain = found[2]["trials_per_minute"] / found[1]["trials_per_minute"]
    return {"by_workers": found, "gain_of_the_second": gain}


class Formula(tune.Trainable):
    """A trial that is a formula, so that Ray's and the driver's share remains."""

    def setup(self, config: dict, settings: object, baseline: object, node: object) -> None:
        self._table = tabulated("tabulated-0")
        self._config = config

    def reset_config(self, new_config: dict) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        from spaces.plan import Plan

        result = self._table.evaluate(Plan.from_json(json.loads(self._config[PLAN])))
        return {
            RESULT: encode(TrialResult, result),
            "latency_ratio": result.latency_ratio,
            "metric_loss": result.metric_loss,
            "done": True,
        }


def long_search(folder: Path, trials: int, early: int) -> dict[str, float]:
    """Return the driver's memory and seconds per trial, over a search whose trials are formulas."""
    from search.config import RunConfig
    from search.console import Display
    from search.context import StudyContext, cluster_of
    from search.records.ledger import Ledger
    from search.records.opening import create_run
    from search.stages.search import search_plans
    from spaces.planning.planner import Planner
    from tests.search.made_run import baseline

    table = tabulated("tabulated-0")
    setup = table.setup(0)
    config = RunConfig(budget=setup.budget, trials=trials, out=str(folder / "run"), concurrency=2)
    run, display = create_run(config), Display()
    noted: list[tuple[int, float, float]] = []
    me = psutil.Process()
    with cluster_of(config, display) as cluster:
        study = StudyContext.of(config, run, cluster, display)
        study.store.create()
        ledger = Ledger.load(study.store, config.budget, table.space.groups)
        planner = Planner(
            setup.space, setup.layers, setup.sensitivities, setup.timings, setup.budget
        )

        def note(_: object) -> None:
            if len(ledger.records) % 20 == 0:
                noted.append((len(ledger.records), me.memory_info().rss, time.monotonic()))

        ledger.listeners.append(note)
        first = planner.warm_starts()
        search_plans(study, baseline(), planner, first, ledger, Formula)
    run.release()
    counts, memory, clock = (np.array(column) for column in zip(*noted, strict=True))
    late = counts >= early
    # A fitted line: single readings jump.
    growth, _ = np.polyfit(counts[late], memory[late], 1)
    return {
        "driver_kb_per_trial": float(growth / 1e3),
        "driver_mb_early": float(memory[late][0] / 1e6),
        "driver_mb_late": float(memory[-1] / 1e6),
        "driver_s_per_trial": float((clock[-1] - clock[late][0]) / (counts[-1] - counts[late][0])),
        "trials": int(counts[-1]),
    }


def driver_part() -> dict[str, Any]:
    """Return `long_search`, run in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __spec__.name, "--long", folder]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def memory_of_workers() -> int:
    """Return the resident bytes of this machine's largest trial actor, 0 if there is none."""
    sizes = [0]
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        if " ".join(process.info["cmdline"] or []).startswith(TITLE):
            sizes.append(process.info["memory_info"].rss)
    return max(sizes)


def worker_part() -> dict[str, Any]:
    """Return the resident memory of one trial actor after its 5th trial and after its 50th."""
    sizes: dict[int, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = search_command(out, trials=REUSED + 5, concurrency=1, finetune_samples=640)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            finished = len(list((out / "trials").glob("[!.]*.parquet")))
            if size := memory_of_workers():
                sizes.setdefault(finished, []).append(size)
            time.sleep(0.5)
        trials = pd.read_parquet(out / "trials")
    # Training needs memory for a while, so the least reading of each trial counts; the median over
    # neighbouring trials removes outliers.
    least = {count: min(seen) for count, seen in sizes.items()}

    def around(count: int) -> float:
        return statistics.median(
            size for at, size in least.items() if abs(at - count) <= 2 and at >= 3
        )

    early, late = around(SETTLED), around(REUSED)
    ended = trials["started_at"] + pd.to_timedelta(trials["wall_s"], unit="s")
    whole_s = (ended.max() - trials["started_at"].min()).total_seconds()
    return {
        "worker_mb_early": early / 1e6,
        "worker_mb_late": late / 1e6,
        "growth": late / early - 1,
        "most_growth": max(least.values()) / early - 1,
        # An actor that has grown is replaced.
        "actors": int(trials["worker"].nunique()),
        "share_between_trials": 1 - float(trials["wall_s"].sum()) / whole_s,
    }


def simulate(workers: int, driver_s: float, trial_s: list[float], trials: int) -> float:
    """Return the busy share of workers, if each trial takes the driver `driver_s`.

    The driver is one process: workers whose trials have ended wait for it in turn.
    """
    rng = np.random.default_rng(0)
    ends = [float(rng.choice(trial_s)) for _ in range(workers)]
    worked, free = sum(ends), 0.0
    heapq.heapify(ends)
    for _ in range(trials):
        free = max(heapq.heappop(ends), free) + driver_s
        duration = float(rng.choice(trial_s))
        worked += duration
        heapq.heappush(ends, free + duration)
    # Work after the last start has not been done yet.
    worked -= sum(max(0.0, end - free) for end in ends)
    return worked / (workers * free)


def simulated_part(known: dict[str, Any]) -> dict[str, Any]:
    """Return trials per minute and busy shares of up to 512 workers, from the other parts."""
    driver_s = known["driver"]["driver_s_per_trial"]
    trial_s = known["workers"]["by_workers"]["1"]["trial_s"]
    rng = np.random.default_rng(1)
    durations = list(trial_s * rng.lognormal(0, 0.6, 500) / np.exp(0.18))
    found = {}
    for workers in SIMULATED:
        busy = simulate(workers, driver_s, durations, 20 * workers + 200)
        found[str(workers)] = {
            "busy": busy,
            "trials_per_minute": 60 * busy * workers / statistics.mean(durations),
        }
    return {"driver_s_per_trial": driver_s, "trial_s": trial_s, "by_workers": found}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "workers": workers_part,
    "driver": driver_part,
    "worker": worker_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*PARTS, "simulated"])
    parser.add_argument("--long", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    if chosen.long is not None:
        print(json.dumps(long_search(chosen.long, LONG, EARLY)))
        return
    target = Path("bench") / "scaling.json"
    known = json.loads(target.read_text()) if target.is_file() else {}
    for name, part in PARTS.items():
        if name in chosen.only:
            known[name] = json.loads(json.dumps({**part(), "machine": machine()}))
            target.write_text(json.dumps(known, indent=1) + "\n")
    if "simulated" in chosen.only:
        known["simulated"] = simulated_part(known)
        target.write_text(json.dumps(known, indent=1) + "\n")
    print(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
