"""How long a search without a deadline will still take, from what it has finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from search.records.ledger import Ledger
from search.schedule.deadline import Pace
from search.schedule.estimates import LevelSeconds
from search.schedule.forecast import Closing, Course, Standing

# Seconds until the rest is estimated again, which takes 0.1 s with 10,000 plans. A guess.
REFRESH_S = 5.0


class Outlook:
    """Estimates the rest of a search at the pace of its finished levels."""

    def __init__(
        self,
        levels: Sequence[LevelSeconds],
        ledger: Ledger,
        trials: int,
        at_once: int,
        *,
        running: Callable[[], Sequence[tuple[int, float]]],
        closing: Callable[[], Closing],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`levels` are the seconds guessed before any plan is trained. `running` returns the level
        of every running trial and its seconds so far, `closing` what promotions may still take."""
        assert len(levels) == len(ledger.fidelities)
        self._ledger, self._trials, self._at_once = ledger, trials, at_once
        self._levels = len(levels)
        self._pace = Pace(levels, ledger)
        self._running, self._closing, self._clock = running, closing, clock
        self._asked: float | None = None
        self._ends = 0.0

    def left_s(self) -> float:
        """Return the seconds until the last promotion has ended."""
        now = self._clock()
        if self._asked is None or now - self._asked >= REFRESH_S:
            self._asked, self._ends = now, now + self._estimate_s()
        return max(0.0, self._ends - now)

    def _estimate_s(self) -> float:
        records, closing = self._ledger.records, self._closing()
        seconds = [self._pace.seconds(level, level) for level in range(self._levels)]
        running = self._running()
        course = Course(
            seconds,
            self._ledger.fidelities,
            max(0, self._trials - len(records) - sum(level == 0 for level, _ in running)),
            self._at_once,
            Standing.of(records.values(), self._levels),
            running=[(level, max(0.0, seconds[level] - age_s)) for level, age_s in running],
        )
        most_s = course.most_s(closing.trainings)
        return min(most_s, course.least_s(closing.trainings)) if closing.ends_early else most_s
