"""A search on a cluster of nodes, and faults that strike it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tests.helpers.nodes import Node
from tests.helpers.support import PATIENCE_S, TABLES, Workplace, rows_of
from trainables.settings import candidate_name

# The title of a worker that trains for a trial.
TRAINING = r"ray::CompressionTrainable plan-\d+ \w+ level \d"


@contextlib.contextmanager
def small_disk(folder, size="64m"):
    """Mount a small disk at a folder."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk, seconds):
    """Fill a disk; empty it again after `seconds`."""
    filler = disk / "filler"

    def empty():
        filler.unlink(missing_ok=True)

    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 65536)
    assert os.statvfs(disk).f_bavail == 0
    threading.Timer(seconds, empty).start()


@dataclass
class Search:
    """A search whose driver runs on a node; all nodes see its run folder."""

    place: Workplace
    node: Node
    run: Path
    process: subprocess.Popen | None = None
    said: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    def start(self, *arguments, cwd=None, **settings):
        """Start the driver in the background."""
        # Each node has its own cache, by its environment.
        command = self.place.command(*arguments, cache="null", **settings)
        self.process = self.node.popen(*command, cwd=cwd or self.place.folder)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def kill(self):
        """Kill the driver with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def wait_for(self, condition, what):
        """Wait until a condition holds; fail if the driver ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.so_far()}"
            assert time.monotonic() < deadline, f"no {what}:\n{self.so_far()}"
            time.sleep(0.2)

    def so_far(self):
        """Return the driver's output and then the trials with worker and time.

        The trials come last, since a long message is cut at its start.
        """
        said = "\n".join(self.said)
        if not rows_of(self.run, "trials"):
            return said
        trials = Ended(self.run, "").trials[["number", "worker", "started_at", "wall_s", "retries"]]
        return f"{said}\n{trials.to_string()}"

    def wait_for_trials(self, count):
        self.wait_for(lambda: rows_of(self.run, "trials") >= count, f"{count} trials")

    def wait_for_trained_on(self, *nodes):
        """Wait until one of the nodes has trained a plan, but not in full; return the node."""
        names, found = [node.name for node in nodes], []

        def finished():
            # A folder without files has no schema.
            trained = Ended(self.run, "").trained_on if rows_of(self.run, "trials") else ()
            found.extend(node for node in nodes if node.name in trained)
            return found

        self.wait_for(finished, f"a trained plan of {names}")
        return found[0]

    def wait_for_training_on(self, node, gate):
        """Wait until a training is held on a node; return its process."""
        name = f"^{node.name} {TRAINING}"
        self.wait_for(lambda: gate.held(name), f"held training on {node.name}")
        (process,) = gate.held(name)
        return process

    def end(self):
        """Wait for the driver to end, and return its results."""
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.returncode == 0, "\n".join(self.said)
        return Ended(self.run, "\n".join(self.said))


@dataclass
class Ended:
    """The results of a finished search."""

    run: Path
    said: str

    @property
    def manifest(self):
        return json.loads((self.run / "manifest.json").read_text())

    @property
    def trials(self):
        return pd.read_parquet(self.run / "trials")

    @property
    def hosts(self):
        """The nodes that finished trials."""
        return self._hosts(self.trials)

    @property
    def trained_on(self):
        """The nodes that trained plans, but not in full."""
        return self._hosts(self.trials.query("state == 'PAUSED'"))

    def _hosts(self, trials):
        return {worker.partition(":")[0] for worker in trials["worker"]}

    def check(self, count):
        """Assert that `count` plans were evaluated, each once, and are in all tables."""
        trials = self.trials
        assert len(trials) == count, self.said
        assert trials["number"].is_unique
        assert trials["plan_key"].is_unique, "a plan was tried twice"
        assert self.manifest["trials"]["finished"] == count
        assert self.manifest["trials"]["retries"] == trials["retries"].sum()
        levels = trials[trials["state"] == "COMPLETE"].set_index("number")["level"].to_dict()
        complete = set(levels)
        tables = {t: pd.read_parquet(self.run / t) for t in TABLES}
        for table in ("measurements", "ratios", "latency"):
            assert complete <= set(tables[table]["number"].dropna()), (
                f"{table} lacks a trial's rows"
            )
        for number, level in levels.items():
            assert (self.run / candidate_name(number, level) / "inference.pdmodel").is_file()
        if trials["retries"].sum():
            assert re.search(r"\d+ trials restarted", self.said)
