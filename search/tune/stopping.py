"""When a running trial is stopped: Ray ends it, and Optuna learns that it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.tune.ray_quirks import InOrder, StaysInDriver
from trainables.files.codec import decode
from trainables.results import TrialResult
from trainables.trainable import RESULT


def reason_to_stop(
    result: TrialResult, max_latency_ratio: float, bound: float | None = None
) -> str | None:
    """Return why a running trial should end now, None if it should go on.

    `bound` is that of the study's `max_latency_ms`, as a ratio to the baseline's latency.
    """
    ratio = result.latency_ratio
    if result.state != "RUNNING" or ratio is None:
        return None
    if bound is not None and ratio > bound:
        return f"latency ratio {ratio:.3f} is above {bound:.3f}, the bound of max_latency_ms"
    if ratio > max_latency_ratio:
        return f"latency ratio {ratio:.3f} is above {max_latency_ratio}"
    return None


class BudgetScheduler(StaysInDriver, InOrder):
    """Runs trials in order, and stops those that are too slow before they are trained."""

    def __init__(
        self,
        max_latency_ratio: float,
        explain: Callable[[str, str], None],
        bound: float | None = None,
    ) -> None:
        """`explain` is called with Ray's trial id and the reason before a trial is stopped; for
        `bound` see `reason_to_stop`."""
        super().__init__()
        self._explain = explain
        self._max_latency_ratio, self._bound = max_latency_ratio, bound

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        known = decode(TrialResult, result[RESULT])
        reason = reason_to_stop(known, self._max_latency_ratio, self._bound)
        if reason is None:
            return TrialScheduler.CONTINUE
        self._explain(trial.trial_id, reason)
        return TrialScheduler.STOP
