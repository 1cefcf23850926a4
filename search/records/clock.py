"""The wall seconds of a study's stages, and of all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


def _nowhere(seconds: Mapping[str, float]) -> None:
    """Do nothing: these seconds are not persisted."""


class StageClock:
    """Seconds by stage, summed over resumed runs. `persist` is called with all after each stage."""

    def __init__(
        self,
        known: Mapping[str, float] | None = None,
        persist: Callable[[dict[str, float]], None] = _nowhere,
        began: float | None = None,
    ) -> None:
        """`known` are the seconds of the stages so far; `began` is when this process took up the
        study, of `time.monotonic`; by default now."""
        self._spent, self._persist = dict(known or {}), persist
        self._before = sum(self._spent.values())
        self._began = time.monotonic() if began is None else began
        self._running: tuple[str, float] | None = None

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time a stage. Its seconds count even if it fails, and are persisted if it does not."""
        self._running = (stage, time.monotonic())
        try:
            yield
        finally:
            self._spent = self.seconds()
            self._running = None
        self._persist(self._spent)

    def persist(self) -> None:
        """Persist the seconds so far: a stage that is killed counts up to here."""
        self._persist(self.seconds())

    def elapsed_s(self) -> float:
        """Return the seconds since the study began: those of its stages in earlier processes, and
        all of this one."""
        return self._before + time.monotonic() - self._began

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage, including the one that runs."""
        spent = dict(self._spent)
        if self._running is not None:
            stage, start = self._running
            spent[stage] = spent.get(stage, 0.0) + time.monotonic() - start
        return spent
