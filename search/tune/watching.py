"""Who is told of each trial that finishes; Ray's metrics are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ray.util import metrics

from search.records.ledger import Ledger
from search.records.trial_record import STAGES, TrialRecord

Listener = Callable[[TrialRecord], None]


@contextmanager
def listening(ledger: Ledger, listener: Listener) -> Iterator[None]:
    """Have a function told of every trial that finishes meanwhile."""
    ledger.listeners.append(listener)
    try:
        yield
    finally:
        ledger.listeners.remove(listener)


GAUGES = {
    "slimsearch_best_latency_ratio": "Of the fastest feasible trial to the baseline",
    "slimsearch_feasible_share": "Trials within the budget, as a share of all finished ones",
    "slimsearch_hypervolume": "That the feasible trials dominate within the budget",
}


class Metrics:
    """Keeps Ray's own metrics up to date, which its dashboard and Prometheus read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._trials = metrics.Counter(
            "slimsearch_trials", "Trials finished, by how they ended", ("state",)
        )
        self._seconds = metrics.Counter(
            "slimsearch_stage_seconds", "Wall seconds of finished trials, by stage", ("stage",)
        )
        self._retries = metrics.Counter(
            "slimsearch_retries", "Trials begun anew because their worker was lost"
        )
        self._gauges = {name: metrics.Gauge(name, about) for name, about in GAUGES.items()}

    def __call__(self, record: TrialRecord) -> None:
        result = record.result
        self._trials.inc(1, {"state": result.state})
        for stage in STAGES:
            spent = result.seconds.get(stage, 0.0)
            if spent > 0:
                self._seconds.inc(spent, {"stage": stage})
        if record.retries:
            self._retries.inc(record.retries)
        for name, value in progress_figures(self._ledger).items():
            self._gauges[f"slimsearch_{name}"].set(value)


def progress_figures(ledger: Ledger) -> Mapping[str, float]:
    """Return what a search has come to, by name; what nobody knows yet is left out."""
    fastest = ledger.front()[:1]
    figures = {
        "feasible_share": len(ledger.feasible()) / max(1, len(ledger.records)),
        "hypervolume": ledger.hypervolume(),
        "best_latency_ratio": fastest[0].result.latency_ratio if fastest else None,
    }
    return {name: value for name, value in figures.items() if value is not None}
