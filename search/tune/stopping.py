"""When a running trial is stopped: Ray ends it, and Optuna learns that it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.records.ledger import Ledger
from search.tune.ray_quirks import InOrder, StaysInDriver
from trainables.files.codec import decode
from trainables.results import Measurement, TrialResult
from trainables.trainable import RESULT

# Trials of full fidelity that must have passed a rung before it stops any. A guess.
EVIDENCE = 4
# A trial's loss may shrink to this fraction of the best shrinkage so far. A guess.
SLACK = 0.8


def attainable_loss(measurement: Measurement, ledger: Ledger) -> float | None:
    """Return the least final metric loss that a trial can reach from a rung, None if unknown.

    Each finished trial kept some fraction of its loss at that rung. The trial may do as well as
    the best of them, and better by SLACK.
    """
    if measurement.metric_loss <= 0:
        return None
    kept = []
    for record in ledger.complete():
        at_rung = [
            m.metric_loss
            for m in record.result.measurements
            if (m.stage, m.rung) == (measurement.stage, measurement.rung)
        ]
        final = record.result.metric_loss
        if at_rung and at_rung[0] > 0 and final is not None:
            kept.append(max(0.0, final) / at_rung[0])
    if len(kept) < EVIDENCE:
        return None
    return SLACK * min(kept) * measurement.metric_loss


def reason_to_stop(result: TrialResult, ledger: Ledger, max_latency_ratio: float) -> str | None:
    """Return why a running trial should end now, None if it should go on."""
    ratio = result.latency_ratio
    if ratio is None or result.state != "RUNNING":
        return None
    if not result.measurements:
        if ratio > max_latency_ratio:
            return f"latency ratio {ratio:.3f} is above {max_latency_ratio}"
        return None
    least = attainable_loss(result.measurements[-1], ledger)
    if least is None:
        return None
    if least > ledger.budget:
        return f"metric loss will hardly come below {least:.3f}, the budget is {ledger.budget}"
    for record in ledger.feasible():
        other = record.result
        assert other.latency_ratio is not None and other.metric_loss is not None
        if other.latency_ratio < ratio and other.metric_loss < least:
            return f"trial {record.number} is faster and will hardly be less accurate"
    return None


class BudgetScheduler(StaysInDriver, InOrder):
    """Runs trials in order, and stops those that can no longer matter."""

    def __init__(
        self, ledger: Ledger, max_latency_ratio: float, explain: Callable[[str, str], None]
    ) -> None:
        """`explain` is called with Ray's trial id and the reason before a trial is stopped."""
        super().__init__()
        self._ledger, self._explain = ledger, explain
        self._max_latency_ratio = max_latency_ratio

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        known = decode(TrialResult, result[RESULT])
        reason = reason_to_stop(known, self._ledger, self._max_latency_ratio)
        if reason is None:
            return TrialScheduler.CONTINUE
        self._explain(trial.trial_id, reason)
        return TrialScheduler.STOP
