"""Running trials: how many there are, and which of them hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from search.records.ledger import Ledger
from search.tune import ray_quirks


@dataclass(frozen=True)
class TimeLimit:
    """How long a trial may take before it counts as hung.

    All are guesses, and generous: a trial that is killed too early is lost, one that hangs would
    block its worker for ever. A busy machine or another precision makes trials slower.
    """

    times_longest: float = 10.0
    """Multiple of the longest finished trial's seconds."""
    least_s: float = 900.0
    times_expected: float = 30.0
    """Multiple of the seconds estimated from the baseline, until a trial has finished."""

    def seconds(self, ledger: Ledger, expected_s: float, given: float | None) -> float:
        """Return the limit: `given`, the user's, or what follows from the finished trials."""
        if given is not None:
            return given
        ended = [r.wall_s for r in ledger.records.values() if r.result.state != "FAILED"]
        longest = self.times_longest * max(ended) if ended else self.times_expected * expected_s
        return max(self.least_s, longest)


LIMIT = TimeLimit()


class TrialWatch(ray_quirks.StaysInDriver, tune.Callback):
    """Knows which trials run, and kills the worker of one that has hung.

    `explain` is called with Ray's trial id and the reason, before Ray Tune notices.
    """

    def __init__(
        self,
        ledger: Ledger,
        expected_s: float,
        given: float | None,
        explain: Callable[[str, str], None],
    ) -> None:
        self._ledger, self._expected_s, self._given = ledger, expected_s, given
        self._explain = explain
        self._hung: set[str] = set()
        self._running: dict[str, tuple[Trial, float]] = {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running[trial.trial_id] = (trial, time.monotonic())

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.pop(trial.trial_id, None)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._running.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        now = time.monotonic()
        # Ray calls this ten times a second, and the limit itself reads all finished trials.
        soonest = self._given or LIMIT.least_s
        for identity, (trial, began) in self._running.items():
            if now - began > soonest and identity not in self._hung:
                self._end_if_hung(identity, trial, now - began)

    def _end_if_hung(self, identity: str, trial: Trial, seconds: float) -> None:
        limit = LIMIT.seconds(self._ledger, self._expected_s, self._given)
        if seconds <= limit or not ray_quirks.has_worker(trial):
            return
        self._hung.add(identity)
        self._explain(
            identity,
            f"took more than {limit:.0f} s and was ended as hung; give more with "
            "-o trial_limit_s=NUMBER",
        )
        ray_quirks.kill_worker(trial)

    def in_words(self) -> str:
        """Return how many trials run and for how long; empty if none does."""
        running = list(self._running.values())
        if not running:
            return ""
        longest = time.monotonic() - min(began for _, began in running)
        trials = "1 trial runs" if len(running) == 1 else f"{len(running)} trials run"
        return f"{trials}, the longest for {longest:.0f} s"
