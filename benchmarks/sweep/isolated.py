"""One file in its own process: a hang, a crash or too much memory ends only that process."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from benchmarks.sweep.stages import Row, run_file

# Limits of one process: the groups of the largest networks take two minutes and 6 GB. Guesses.
LIMIT_S, LIMIT_GB = 400.0, 10.0
# Imported once by the fork server, not by every process; a toolkit's own by `preload`.
PRELOADED = ["trainables.compression.pruning", "trainables.loading", "cv2"]
MODULES = {
    "PaddleDetection": ["ppdet.data", "ppdet.modeling"],
    "PaddleSeg": ["paddleseg.cvlibs", "paddleseg.core.train"],
}


def preload(toolkits: Iterable[str]) -> None:
    """Have the fork server import these toolkits; call it before the first `try_file`."""
    modules = [module for toolkit in toolkits for module in MODULES.get(toolkit, [])]
    _context().set_forkserver_preload([*PRELOADED, *modules])


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _enter(
    toolkit: str, file: Path, name: str, until: str, folder: str, limit_gb: float, out: Connection
) -> None:
    """Run one file in its own process and send its rows through `out`."""
    limit = int(limit_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.chdir(folder)
    # Silences what toolkits print.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    run_file(toolkit, file, name, until, out.send)
    out.send(None)


def try_file(toolkit: str, file: Path, name: str, until: str, limit_s: float, gb: float) -> Row:
    """Return the row of one file. A hang or a crash of its process becomes its reason."""
    ours, theirs = _context().Pipe(duplex=False)
    row, end = Row(toolkit, name), time.monotonic() + limit_s
    with tempfile.TemporaryDirectory() as folder:
        process = _context().Process(
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
