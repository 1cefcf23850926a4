"""One file in a process of its own: a hang, a crash or too much memory ends that process alone."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.sweep.stages import Row, run_file

# Guesses: the largest networks take two minutes for their groups, and 6 GB.
LIMIT_S, LIMIT_GB = 400.0, 10.0
# Imported once, so that a process for each file costs no seconds.
PRELOADED = ["trainables.compression.pruning", "trainables.loading", "cv2"]


def _enter(
    toolkit: str, file: Path, name: str, until: str, folder: str, limit_gb: float, out: Connection
) -> None:
    """Run one file in the process that is its own; rows go out by the connection."""
    limit = int(limit_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.chdir(folder)
    # What toolkits print would drown the rows.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    run_file(toolkit, file, name, until, out.send)
    out.send(None)


def try_file(toolkit: str, file: Path, name: str, until: str, limit_s: float, gb: float) -> Row:
    """Return the row of one file; a hang or a crash of its process becomes its reason."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    row, end = Row(toolkit, name), time.monotonic() + limit_s
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(
            target=_enter, args=(toolkit, file, name, until, folder, gb, theirs), daemon=True
        )
        process.start()
        theirs.close()
        try:
            while ours.poll(max(0.0, end - time.monotonic())):
                received = ours.recv()
                if received is None:
                    return row
                row = received
            return replace(row, failed=f"took longer than {limit_s:.0f} s")
        except EOFError:
            process.join()
            return replace(row, failed=f"its process ended with {process.exitcode}")
        finally:
            process.kill()
            process.join()
