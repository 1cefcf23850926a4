"""Ctrl-C and SIGTERM end a command at any moment: one line, how to carry on, nothing left running.

The handlers stay ours: Ray, Ray Tune and Ray Train each install others, under which a Ctrl-C is
swallowed, or ends the process without a word.
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
# For leaving Ray and the storage in good order. Kubernetes and SLURM kill 30 seconds after their
# SIGTERM; a local Ray takes about 3 to end.
GRACE_S = 15.0


class InterruptedRun(KeyboardInterrupt):
    """A signal asked the command to end."""


class Interrupts:
    """Whether a signal came, and what to say then."""

    def __init__(self) -> None:
        self.advice: Callable[[], str] = lambda: "give the command again"
        self.received: int | None = None
        """The number of the first signal that came."""
        self.timer: threading.Timer | None = None
        self.install_handler: Callable[[int, Any], Any] | None = None
        self._said = False
        self._begun: set[psutil.Process] = set()
        self._older = set(psutil.Process().children(recursive=True))

    @property
    def status(self) -> int:
        """The exit status that shells know a signal by."""
        return 128 + (self.received or signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.end_now()
        self.received = number
        # As they are now: a child's children are not below this process once the child has ended.
        self._begun = self._below()
        # An exception in the wrong moment may be swallowed by whoever called us.
        self.timer = threading.Timer(GRACE_S, self.end_now)
        self.timer.daemon = True
        self.timer.start()
        raise InterruptedRun

    def install(self) -> None:
        """Take the signals; again after Ray has started, whose native code takes SIGTERM over to
        print a stack."""
        if self.install_handler is not None:
            for number in HANDLED:
                self.install_handler(number, self.handle)

    def say(self) -> None:
        """Say, once, what happened and how to carry on."""
        if not self._said:
            self._said = True
            name = signal.Signals(self.received or signal.SIGINT).name
            print(f"interrupted by {name}; {self.advice()}", file=sys.stderr, flush=True)

    def end_now(self) -> None:
        """End without any more ado; what runs below this process ends too."""
        self.say()
        self.end_children()
        os._exit(self.status)

    def _below(self) -> set[psutil.Process]:
        """Return the processes below this one that the command began."""
        return set(psutil.Process().children(recursive=True)) - self._older

    def end_children(self) -> None:
        """End what ran below this process when the signal came, or does now."""
        for child in self._begun | self._below():
            with suppress(psutil.Error):
                child.kill()


current = Interrupts()
"""Of the command that runs: signals are of the whole process, and so is this."""


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Raise InterruptedRun in the main thread at the first signal; end at once at the second."""
    global current
    current = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield current
        return
    install = signal.signal
    before = {number: signal.getsignal(number) for number in HANDLED}
    current.install_handler = install
    current.install()

    def ours_stay(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number in HANDLED else install(number, handler)

    setattr(signal, "signal", ours_stay)  # noqa: B010  (a function of another module, to mypy)
    try:
        yield current
    finally:
        if current.timer is not None:
            current.timer.cancel()
            # Ray has ended by now; its agents notice that some seconds later, and outlive us.
            current.end_children()
        setattr(signal, "signal", install)  # noqa: B010
        for number, handler in before.items():
            install(number, handler if handler is not None else signal.SIG_DFL)
