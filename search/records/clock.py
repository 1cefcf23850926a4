"""The wall seconds of a study's stages."""

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
    ) -> None:
        self._spent, self._persist = dict(known or {}), persist
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

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage, including the one that runs."""
        spent = dict(self._spent)
        if self._running is not None:
            stage, start = self._running
            spent[stage] = spent.get(stage, 0.0) + time.monotonic() - start
        return spent
