"""Helpers of whole-run tests: the tiny task as a package, and the command line."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

TINY = Path(__file__).parent / "tiny"

# The least with which the tiny task stays within a budget of 0.1.
QUICK = {
    "finetune_samples": 640,
    "qat_samples": 160,
    "retrain_samples": 2240,
    "retrain_qat_samples": 320,
    "sensitivity_points": 2,
    "latency_batch": 32,
    "latency_points": 4,
    # Whole-run tests check which models are timed, not their milliseconds.
    "latency_effort": 0.05,
    # Beside other tests, a plan may seem slower than the baseline without being so.
    "max_latency_ratio": 100,
    # No margin and one retrain process, except where these are tested.
    "confidence_z": 0,
    "retrain_workers": 1,
    # The retrain has something left to do.
    "finalists": 0,
}
# The defaults of the settings that QUICK changes.
AS_BY_DEFAULT = {"confidence_z": 1.64, "retrain_workers": "null", "finalists": 3}
# Interval at which a running run's tables are read: reading without pause takes half of a core.
READING_S = 0.5
# Greatest wait for what is certain to come: it ends a test that hangs, and nothing else. Whole runs
# take one to three minutes on a quiet machine.
PATIENCE_S = 1800.0
# Greatest time that a node of Ray takes to start on a busy machine: 30 s were too few. A guess.
START_S = 300.0


@dataclass(frozen=True)
class Workplace:
    """A folder outside the repository with a user's package `mypkg` and its own cache."""

    folder: Path
    weights: Path
    address: str | None = None
    """The address of a running Ray cluster; None starts a local one for every run."""

    def command(self, *arguments: str, module: str = "search.run", **settings: object) -> list[str]:
        """Return a command line with the settings QUICK and `settings`."""
        chosen = {**QUICK, "cache": self.folder / "cache", **settings}
        overrides = [part for k, v in chosen.items() for part in ("-o", f"{k}={v}")]
        if "--resume" in arguments:
            overrides = []
        return [sys.executable, "-m", module, *arguments, *overrides]

    def environment(self) -> dict[str, str]:
        paths = [str(self.folder), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(filter(None, paths))
        address = {"RAY_ADDRESS": self.address} if self.address else {}
        return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **address}

    def run(
        self, *arguments: str, timeout: float = PATIENCE_S, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """Run the main command, or that of another `module`, to its end."""
        return subprocess.run(
            self.command(*arguments, **settings),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def task(self, factory: str = "make_task") -> tuple[str, ...]:
        """Return the arguments that name the user's task and its weights."""
        return ("--task", f"mypkg.mine:{factory}", "--weights", str(self.weights))


def make_workplace(folder: Path, weights: Path) -> Workplace:
    package = folder / "mypkg"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for module in ("mine.py", "few.py"):
        shutil.copy(TINY / module, package)
    return Workplace(folder, weights)


TABLES = ("trials", "measurements", "ratios", "sensitivity", "latency")


def allowed_fall(said):
    """Return the metrics of the baseline and at the budget, as a command printed them."""
    before, lowest = re.search(r"may fall from (\d\.\d{4}) to (\d\.\d{4})", said).groups()
    return float(before), float(lowest)


def own_lines(errors):
    """Return the lines of stderr, without those that Ray's native code may log at its end."""
    native = re.compile(r"\[[\d-]{10} [\d:,.]+.* [A-Z] \d+ \d+\] ")
    return [line for line in errors.strip().splitlines() if not native.match(line)]


def rows_of(run, table):
    return len(list((run / table).glob("[!.]*.parquet")))


def read_all(run):
    """Return the tables' rows; raises if any is not readable at this moment."""
    return {t: pd.read_parquet(run / t) for t in TABLES if any((run / t).glob("[!.]*.parquet"))}


def said_by(run):
    """Return the file with the output of commands that were killed."""
    return run.with_name(f"{run.name}.said")


def wait_until(condition, what):
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.2)


def killed_when(workplace, arguments, run, condition, by=signal.SIGKILL, **settings):
    """Start a command and send it a signal once the condition holds; return its exit status.

    Meanwhile the tables are read twice a second. The output goes to a file beside the run.
    """
    with said_by(run).open("a") as said:
        process = subprocess.Popen(
            workplace.command(*arguments, **settings),
            cwd=workplace.folder,
            env=workplace.environment(),
            stdout=said,
            stderr=subprocess.STDOUT,
            # Background jobs of a shell, and their children, ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    deadline, next_reading = time.monotonic() + PATIENCE_S, 0.0
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the moment to kill it never came:\n{said_by(run).read_text()}")
        if run.is_dir():
            if time.monotonic() >= next_reading:
                read_all(run)
                next_reading = time.monotonic() + READING_S
            if condition():
                break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(by)
    return process.wait(PATIENCE_S)


def patiently(call):
    """Return a call that is tried again, for as long as a node may take to start."""

    def tried(*arguments):
        deadline = time.monotonic() + START_S
        while True:
            try:
                return call(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    return tried


@contextlib.contextmanager
def ray_cluster(place, **head):
    """Start a Ray that outlives its drivers; yield a workplace whose runs use it."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Workers inherit the node's environment, as they do from a driver's own Ray.
        for name, value in place.environment().items():
            patch.setenv(name, value)
        # Ray itself waits for 30 s until its node is known; on a busy machine it takes longer.
        patch.setattr(services, "get_node", patiently(services.get_node))
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    yield replace(place, address=cluster.address)
    cluster.shutdown()
