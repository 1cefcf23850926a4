"""Trials that run: how many there are, and which of them have hung."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from search.records.ledger import Ledger

# A trial is given so many times the longest one's seconds, and at least so many: a neighbour's
# machine may be busy, a plan in another precision trains longer. All three are guesses: generous,
# for a trial that is ended in vain is lost, and one that has hung would be waited for for ever.
TIMES = 10.0
LEAST_S = 900.0
# As long as no trial has ended, so many times what the baseline's pace lets expect.
TIMES_EXPECTED = 30.0


def time_limit_s(ledger: Ledger, expected_s: float, given: float | None) -> float:
    """Return the seconds that a trial may take: what is given, or from what others took."""
    if given is not None:
        return given
    ended = [r.wall_s for r in ledger.records.values() if r.result.state != "FAILED"]
    return max(LEAST_S, TIMES * max(ended) if ended else TIMES_EXPECTED * expected_s)


class TrialWatch(tune.Callback):
    """Knows the trials that run, and ends the worker of one that has run for too long.

    `explain` is told why, by Ray's trial id, before Ray Tune notices.
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

    def __getstate__(self) -> dict[str, Any]:
        # Ray Tune writes its callbacks down; trials that run are not of another process.
        return {**self.__dict__, "_running": {}}

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
        for identity, (trial, began) in self._running.items():
            actor = trial.temporary_state.ray_actor
            # Ten times a second: the limit itself goes through all trials.
            if now - began <= (self._given or LEAST_S) or identity in self._hung or actor is None:
                continue
            limit = time_limit_s(self._ledger, self._expected_s, self._given)
            if now - began <= limit:
                continue
            self._hung.add(identity)
            self._explain(
                identity,
                f"took more than {limit:.0f} s and was ended as hung; give more with "
                "-o trial_limit_s=NUMBER",
            )
            # Ray Tune then finds the worker dead; what asks a hung one to end would wait for it.
            ray.kill(actor)

    def in_words(self) -> str:
        """Return how many trials run and for how long, nothing if none does."""
        running = list(self._running.values())
        if not running:
            return ""
        longest = time.monotonic() - min(began for _, began in running)
        trials = "1 trial runs" if len(running) == 1 else f"{len(running)} trials run"
        return f"{trials}, the longest for {longest:.0f} s"
