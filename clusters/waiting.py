"""What is said while a command waits. Every wait of the driver is within `said_while`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clusters.resources import Nodes, Resources, in_words

# Seconds between two lines about work that cannot begin. Half a minute is long for somebody who
# looks on, and short beside a search.
EVERY_S = 30.0
# Lines about work that goes on come after twice as long each time, this long at most (a guess).
LONGEST_S = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Awaited:
    """What is waited for."""

    what: str
    """A few words, such as "baseline" or "trial 7's retrain"."""
    asked: Resources = field(default_factory=dict)
    """What a piece of it asks of a node; nothing for what runs in this process."""
    pieces: int = 1
    """How many such pieces must run at once."""

    def line(self, seconds: float, nodes: Nodes | None, running: str | None) -> tuple[str, bool]:
        """Return what to say after so many seconds, and whether nothing of it can go on.

        `running` says what of it runs; None: nobody knows; empty: nothing does.
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
            return f"{waited}, running, or waiting until {in_words(self.asked)} are free", False
        return f"{waited}, running", False


def _nodes() -> Nodes | None:
    """Return the nodes; None where Ray cannot be asked."""
    try:
        return Nodes.now()
    except Exception:  # Disconnected, or not answering: the wait itself says why when it ends.
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
    """Say each half minute what is waited for, and which resources it lacks.

    Where it lacks none, the lines become rare, but not with `often`; with `quiet` there are none of
    these, for whoever shows a clock already. `running` says what of it runs, as in `Awaited.line`.
    """
    ended = threading.Event()
    every = EVERY_S if every_s is None else every_s

    def tell() -> None:
        began, pauses, next_working = time.monotonic(), 0, 1
        while not ended.wait(every):
            pauses += 1
            seconds = time.monotonic() - began
            nodes = _nodes() if awaited.asked else None
            line, lacking = awaited.line(seconds, nodes, running())
            if not lacking:
                if quiet or (pauses < next_working and not often):
                    continue
                next_working = pauses + max(1, min(pauses, round(LONGEST_S / every)))
            if not ended.is_set():
                say(line)

    thread = threading.Thread(target=tell, name="said-while", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Not joined: it may be asking a cluster that no longer answers.
        ended.set()
