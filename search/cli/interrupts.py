"""Ctrl-C and SIGTERM end a command at any moment, with one line about how to continue and without
orphaned processes.

Other handlers are refused: Ray, Ray Tune and Ray Train install some that swallow Ctrl-C, or end the
process without a message.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import psutil

HANDLED = (signal.SIGINT, signal.SIGTERM)
# Seconds to disconnect from Ray and the storage. Kubernetes and SLURM kill 30 seconds after
# SIGTERM; a local Ray takes about 3 to end.
GRACE_S = 15.0


class InterruptedRun(KeyboardInterrupt):
    """A signal asked the command to end."""


class Interrupts:
    """Handles the signals of a command."""

    def __init__(self) -> None:
        self.advice: Callable[[], str] = lambda: "run the command again"
        self.received: int | None = None
        """The number of the first signal."""
        self.timer: threading.Timer | None = None
        self.install_handler: Callable[[int, Any], Any] | None = None
        self._said = False
        self._stderr: int | None = None
        self._started: set[psutil.Process] = set()
        self._older = set(psutil.Process().children(recursive=True))

    @property
    def status(self) -> int:
        """The exit status that shells expect after a signal."""
        return 128 + (self.received or signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.end_now()
        self.received = number
        self._mute()
        # Listed now: after a child has ended, its own children are no longer below this process.
        self._started = self._below()
        # The interrupted code may swallow the exception.
        self.timer = threading.Timer(GRACE_S, self.end_now)
        self.timer.daemon = True
        self.timer.start()
        raise InterruptedRun

    def install(self) -> None:
        """Install the handlers. Needed again after Ray has started: its native code replaces the
        one of SIGTERM to print a stack."""
        if self.install_handler is not None:
            for number in HANDLED:
                self.install_handler(number, self.handle)

    def _mute(self) -> None:
        """Drop what is written to stderr from now on: while Ray's native code ends it logs there
        that workers and messages were lost."""
        sys.stderr.flush()
        self._stderr = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def unmute(self) -> None:
        """Let stderr be written to again."""
        if self._stderr is not None:
            os.dup2(self._stderr, 2)
            os.close(self._stderr)
            self._stderr = None

    def say(self) -> None:
        """Print, once, which signal came and how to continue."""
        if not self._said:
            self._said = True
            self.unmute()
            name = signal.Signals(self.received or signal.SIGINT).name
            print(f"interrupted by {name}; {self.advice()}", file=sys.stderr, flush=True)

    def end_now(self) -> None:
        """Exit at once, and kill the processes that the command started."""
        self.say()
        self.end_children()
        os._exit(self.status)

    def _below(self) -> set[psutil.Process]:
        """Return the processes below this one that the command started."""
        return set(psutil.Process().children(recursive=True)) - self._older

    def end_children(self) -> None:
        """Kill the processes that the command had started when the signal came, and later ones."""
        for child in self._started | self._below():
            with suppress(psutil.Error):
                child.kill()


current = Interrupts()
"""The handler of the running command: global, because signals belong to the whole process."""


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Raise InterruptedRun in the main thread at the first signal; exit at once at the second."""
    global current
    current = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield current
        return
    install = signal.signal
    before = {number: signal.getsignal(number) for number in HANDLED}
    current.install_handler = install
    current.install()

    def refuse_others(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number in HANDLED else install(number, handler)

    setattr(signal, "signal", refuse_others)  # noqa: B010  (a function of another module, to mypy)
    try:
        yield current
    finally:
        if current.timer is not None:
            current.timer.cancel()
            # Ray has ended by now, but its agents notice that seconds later and would outlive us.
            current.end_children()
        current.unmute()
        setattr(signal, "signal", install)  # noqa: B010
        for number, handler in before.items():
            install(number, handler if handler is not None else signal.SIG_DFL)
