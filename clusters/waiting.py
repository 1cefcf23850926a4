"""What a command says while it waits. Every wait of the driver is within `said_while`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clusters.resources import Nodes, Resources, in_words

# Seconds between two lines about work that cannot begin. A guess: long for an onlooker, short
# beside a search.
EVERY_S = 30.0
# Longest pause between two lines about work that goes on; the pauses double up to it. A guess.
LONGEST_S = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Awaited:
    """What is waited for."""

    what: str
    """A few words, such as "baseline" or "retrain of trial 7"."""
    asked: Resources = field(default_factory=dict)
    """What one piece of the work asks of a node; empty for work in this process."""
    pieces: int = 1
    """Pieces that must run at once."""

    def line(self, seconds: float, nodes: Nodes | None, running: str | None) -> tuple[str, bool]:
        """Return what to say after a wait, and whether the work is stuck.

        `nodes` is None where Ray cannot be asked. `running` says what of the work runs: empty if
        nothing does, None if that is not known.
        """
        waited = f"{self.what}: {seconds:.0f} s"
        if running:
            return f"{waited}, {running}", False
        if nodes is None or not self.asked:
            return f"{waited}, not ready yet", False
        missing = nodes.shortage(self.asked, self.pieces)
        if missing is not None:
            return f"{waited}, waiting for nodes: {missing}", True
        if running == "":
            return f"{waited}, waiting for a worker that takes {in_words(self.asked)}", True
        if nodes.is_full(self.asked):
            return f"{waited}, running, or waiting for {in_words(self.asked)} to be free", False
        return f"{waited}, running", False


def _nodes() -> Nodes | None:
    """Return the nodes, None if Ray cannot be asked."""
    try:
        return Nodes.now()
    except Exception:  # Disconnected or silent: the wait itself ends with the reason.
        return None


@contextmanager
def said_while(
    awaited: Awaited,
    say: Say,
    *,
    quiet: bool = False,
    often: bool = False,
    running: Callable[[], str | None] = lambda: None,
    every_s: float | None = None,
) -> Iterator[None]:
    """Say every EVERY_S what is waited for, and which resources are missing.

    Where none are missing the lines become rare, except with `often`. With `quiet`, for displays
    that show a clock, there are none of these. `running` is as in `Awaited.line`.
    """
    ended = threading.Event()
    every = EVERY_S if every_s is None else every_s

    def report() -> None:
        began, pauses, next_working = time.monotonic(), 0, 1
        while not ended.wait(every):
            pauses += 1
            seconds = time.monotonic() - began
            nodes = _nodes() if awaited.asked else None
            line, stuck = awaited.line(seconds, nodes, running())
            if not stuck:
                if quiet or (pauses < next_working and not often):
                    continue
                next_working = pauses + max(1, min(pauses, round(LONGEST_S / every)))
            if not ended.is_set():
                say(line)

    thread = threading.Thread(target=report, name="said-while", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Not joined: the thread may be asking a cluster that no longer answers.
        ended.set()
