"""How each trial ended, as Ray Tune reports it: completed, failed, or lost with its worker."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from search.tune import ray_quirks
from search.tune.searcher import PlanSearcher
from trainables.trainable import RETIRE


class OutcomeCallback(ray_quirks.StaysInDriver, tune.Callback):
    """Tells the searcher which trials ended without a result, and frees what Ray holds of all."""

    def __init__(self, searcher: PlanSearcher) -> None:
        self._searcher = searcher
        self._finished = ray_quirks.FinishedTrials()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._finished.add(trial)
        if trial.last_result.get(RETIRE):
            ray_quirks.retire_actor(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._finished.add(trial)
        on_purpose = self._searcher.explanation(trial.trial_id)
        reason = on_purpose or ray_quirks.failure_reason(trial)
        # A trial killed because it hung is not tried again: it would hang again.
        if on_purpose is None and ray_quirks.lost_its_worker(trial):
            self._searcher.note_loss(trial.trial_id, reason)
        else:
            self._searcher.record_failure(trial.trial_id, reason)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._finished.free()
