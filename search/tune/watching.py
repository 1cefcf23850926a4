"""Listeners to finished trials, one of them for Ray's metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ray.util import metrics

from search.records.ledger import Ledger
from search.records.trial_record import STAGES, TrialRecord

Listener = Callable[[TrialRecord], None]


@contextmanager
def listening(ledger: Ledger, listener: Listener) -> Iterator[None]:
    """Call a function with every trial that finishes meanwhile."""
    ledger.listeners.append(listener)
    try:
        yield
    finally:
        ledger.listeners.remove(listener)


GAUGES = {
    "slimsearch_best_latency_ratio": "Latency ratio of the fastest feasible trial",
    "slimsearch_feasible_share": "Fraction of the finished trials that are feasible",
    "slimsearch_hypervolume": "Area that the feasible trials dominate below the budget",
}


class Metrics:
    """Updates Ray's metrics, which its dashboard and Prometheus read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counted: dict[int, dict[str, float]] = {}
        """Seconds of the paused trials by number: a promoted one has those of its levels before."""
        self._trials = metrics.Counter(
            "slimsearch_trials", "Trials finished, by how they ended", ("state",)
        )
        self._seconds = metrics.Counter(
            "slimsearch_stage_seconds", "Wall seconds of finished trials, by stage", ("stage",)
        )
        self._retries = metrics.Counter(
            "slimsearch_retries", "Restarts of trials because their worker was lost"
        )
        self._gauges = {name: metrics.Gauge(name, about) for name, about in GAUGES.items()}

    def __call__(self, record: TrialRecord) -> None:
        result = record.result
        self._trials.inc(1, {"state": result.state})
        counted = self._counted.pop(record.number, {})
        if result.state == "PAUSED":
            self._counted[record.number] = dict(result.seconds)
        for stage in STAGES:
            spent = result.seconds.get(stage, 0.0) - counted.get(stage, 0.0)
            if spent > 0:
                self._seconds.inc(spent, {"stage": stage})
        if record.retries:
            self._retries.inc(record.retries)
        for name, value in progress_figures(self._ledger).items():
            self._gauges[f"slimsearch_{name}"].set(value)


def progress_figures(ledger: Ledger) -> Mapping[str, float]:
    """Return how far a search is, by name, without what is not known yet."""
    ratios = [record.result.latency_ratio for record in ledger.feasible()]
    figures = {
        "feasible_share": len(ledger.feasible()) / max(1, len(ledger.records)),
        "hypervolume": ledger.hypervolume(),
        "best_latency_ratio": min((ratio for ratio in ratios if ratio is not None), default=None),
    }
    return {name: value for name, value in figures.items() if value is not None}
