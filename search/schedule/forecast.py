"""How long a search's promotions take: asynchronous successive halving, simulated with mean plans.

Plans are alike here: what differs between searches is how many of them are promoted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from search.records.trial_record import TrialRecord
from trainables.levels import REDUCTION
from trainables.results import MEASURED

# Plans that are trained in full if the most pruned one keeps the budget: no other promises a gain
# then. 1 to 3 in most tabulated searches, 2 in two of the built-in problem (LOG: how long a search
# takes).
EARLY = 2

_Begun: TypeAlias = tuple[int, float, bool]
"""The level that a worker trains a plan to, its seconds, and whether it may be promoted later."""


@dataclass(frozen=True)
class Standing:
    """How far a search is."""

    reached: tuple[int, ...]
    """Number of trials that were trained to each level, or further."""
    paused: tuple[int, ...]
    """Number of trials that may be promoted, by their level; those that are being promoted too."""
    closing: float = 0.0
    """Compute that promotions after the last plan have taken, in trainings in full."""

    @classmethod
    def of(cls, records: Iterable[TrialRecord], levels: int) -> Standing:
        """Return the standing of a search with these trials and this number of levels."""
        records = list(records)
        measured = [record for record in records if record.result.state in MEASURED]
        at = Counter(record.level for record in measured)
        paused = Counter(r.level for r in measured if r.result.state == "PAUSED")
        return cls(
            tuple(sum(at[k] for k in range(level, levels)) for level in range(levels)),
            tuple(paused[level] for level in range(levels)),
            sum(record.closing_fidelity for record in records),
        )

    @classmethod
    def new(cls, levels: int) -> Standing:
        """Return the standing of a search without trials."""
        return cls((0,) * levels, (0,) * levels)


@dataclass(frozen=True)
class Closing:
    """What promotions may still take, in trainings in full."""

    trainings: float
    ends_early: bool
    """Whether no more than these are expected, since no other trial promises a gain."""


@dataclass(frozen=True)
class Course:
    """What a search has yet to do."""

    seconds: Sequence[float]
    """Of a plan's training and measurement at each level."""
    fidelities: Sequence[float]
    plans: int
    """Number of plans that have not begun."""
    at_once: int
    standing: Standing
    untrained_s: float | None = None
    """Seconds of the unpruned model, which is one of the plans; None if it has been tried."""
    running: Sequence[tuple[int, float]] = ()
    """The level that each running trial is trained to, and the seconds until it is."""

    def proposals_s(self) -> float:
        """Return the seconds of the plans that have not begun, without promotions."""
        return _Simulation(self).run(promotes=False)

    def least_s(self, trainings: float = EARLY) -> float:
        """Return the seconds if the promotions end early, after this number of trainings in full:
        the most pruned plan keeps the budget."""
        rounds = max(trainings / self.at_once, min(1.0, trainings))
        return self.proposals_s() + rounds * sum(self.seconds[1:])

    def most_s(self, finalists: float) -> float:
        """Return the seconds if promotions after the last plan take the compute of `finalists`
        trainings in full."""
        return _Simulation(self).run(finalists=finalists)


class _Simulation:
    """Workers that take the next level, as `search.tune.promotion` chooses it."""

    def __init__(self, course: Course) -> None:
        self._course, self._last = course, len(course.seconds) - 1
        self._begun, self._paused = list(course.standing.reached), list(course.standing.paused)
        self._plans, self._untrained_s = course.plans, course.untrained_s
        self._finished = course.standing.reached[0]
        self._new = self._finals = 0
        """Plans that run their first level, and trainings in full after the last plan."""
        self._running = [(ends, level, level < self._last) for level, ends in course.running]
        heapq.heapify(self._running)
        for level, _ in course.running:
            if level:
                self._begun[level] += 1
                self._paused[level - 1] -= 1
            else:
                self._new += 1

    def run(self, *, promotes: bool = True, finalists: float = 0.0) -> float:
        """Return the seconds until nothing is left to do."""
        running, now, left = self._running, 0.0, finalists
        while True:
            while len(running) < self._course.at_once:
                if self._plans or self._new:
                    begun = (self._promotion() if promotes else None) or self._new_plan()
                else:
                    begun, left = self._final(left)
                if begun is None:
                    break
                level, spent_s, pauses = begun
                heapq.heappush(running, (now + spent_s, level, pauses))
            if not running:
                return now
            now, level, pauses = heapq.heappop(running)
            self._paused[level] += pauses
            if level == 0:
                self._new -= 1
                self._finished += 1

    def _promotion(self) -> _Begun | None:
        """Return the promotion that is due, that to the highest level first."""
        for level in range(self._last - 1, -1, -1):
            reached = self._begun[level] if level else self._finished
            if self._paused[level] and reached // REDUCTION > self._begun[level + 1]:
                self._paused[level] -= 1
                self._begun[level + 1] += 1
                return level + 1, self._course.seconds[level + 1], level + 1 < self._last
        return None

    def _new_plan(self) -> _Begun | None:
        """Return the first level of a plan, None after the last plan."""
        if self._plans == 0:
            return None
        self._plans -= 1
        self._new += 1
        if self._untrained_s is None:
            return 0, self._course.seconds[0], self._last > 0
        spent_s, self._untrained_s = self._untrained_s, None
        return 0, spent_s, False

    def _final(self, left: float) -> tuple[_Begun | None, float]:
        """Return a plan's training to the last level, None if none can be paid for, and the compute
        that is left then.

        Of REDUCTION such plans one has been promoted before, as of all plans.
        """
        levels = range(self._last)
        for level in levels if self._finals % REDUCTION else levels[::-1]:
            cost = 1 - self._course.fidelities[level]
            # The tolerance covers the rounding of sums.
            if self._paused[level] and cost <= left + 1e-9:
                self._finals += 1
                self._paused[level] -= 1
                return (self._last, sum(self._course.seconds[level + 1 :]), False), left - cost
        return None, left
