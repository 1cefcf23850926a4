"""Every finished trial of a study, in memory and in the tables, for the searcher, the stopping rule
and the display."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from search.records.columns import cells, read_cells
from search.records.tables import Store
from search.records.trial_record import TrialRecord, read_trial, trial_row
from spaces.layers import Layer, LayerCosts, ratio_matrix
from spaces.pareto import Points, front_indices, hypervolume
from spaces.plan import Plan, PruningGroup
from spaces.planning.known import Known
from trainables.results import Measurement, TrialResult

# Latency ratio of the hypervolume's reference point, the baseline's; its loss is the budget.
REFERENCE_RATIO = 1.0


def _read_measurement(row: dict[str, Any]) -> tuple[int, Measurement]:
    """Return the trial's number and the measurement of a row."""
    return int(row["number"]), read_cells(Measurement, row)


def known_of(records: Iterable[TrialRecord]) -> list[Known]:
    """Return the plan, loss and latency ratio of each trial of full fidelity."""
    return [
        Known(record.plan, record.result.metric_loss, record.result.latency_ratio)
        for record in records
        if record.result.state == "COMPLETE"
        and record.result.metric_loss is not None
        and record.result.latency_ratio is not None
    ]


def is_feasible(result: TrialResult, budget: float) -> bool:
    """Return whether a result has full fidelity and is within the budget."""
    return (
        result.state == "COMPLETE"
        and result.metric_loss is not None
        and result.metric_loss <= budget
    )


@dataclass
class Ledger:
    """The finished trials, each written to the store before anyone is told of it."""

    store: Store
    budget: float
    groups: Sequence[PruningGroup]
    layers: Sequence[Layer] = ()
    records: dict[int, TrialRecord] = field(default_factory=dict)
    listeners: list[Callable[[TrialRecord], None]] = field(default_factory=list)

    def record(self, record: TrialRecord) -> None:
        """Write a finished trial to the tables, then tell the listeners.

        Its row in `trials` is written last: a trial that has one has all its other rows.
        """
        name = f"{record.number:06d}"
        result = record.result
        number = {"number": record.number}
        measured = [{**number, **cells(m)} for m in result.measurements]
        self.store.write("measurements", name, measured)
        probes = [
            {**number, "stage": p.stage, "reused": p.reused, **cells(p.reading)}
            for p in result.readings
        ]
        self.store.write("latency", name, probes)
        self.store.write("ratios", name, self._ratio_rows(record))
        row = {
            **trial_row(record),
            "feasible": is_feasible(result, self.budget),
            "multiply_adds": self._multiply_adds(record.plan),
        }
        self.store.write("trials", name, [row])
        # They are in the table: in memory those of thousands of trials are too many.
        result.readings.clear()
        self.records[record.number] = record
        for listener in self.listeners:
            listener(record)

    def _ratio_rows(self, record: TrialRecord) -> list[dict[str, Any]]:
        rows = []
        for group in self.groups:
            ratio = record.plan.ratio(group.name)
            rows.append(
                {
                    "number": record.number,
                    "group": group.name,
                    "channels": group.channels,
                    "kept": group.channels - round(ratio * group.channels),
                    "ratio": ratio,
                }
            )
        return rows

    @cached_property
    def _costs(self) -> LayerCosts:
        return LayerCosts(self.layers, self.groups)

    def _multiply_adds(self, plan: Plan) -> int | None:
        """Return the pruned model's multiply-adds of one sample, None if no layers are known."""
        if not self.layers:
            return None
        kept = self._costs.multiply_adds(ratio_matrix(self.groups, [plan]))
        return round(float(kept[0]) * sum(layer.multiply_adds for layer in self.layers))

    @classmethod
    def load(
        cls,
        store: Store,
        budget: float,
        groups: Sequence[PruningGroup],
        layers: Sequence[Layer] = (),
    ) -> Ledger:
        """Return the ledger in a run's tables, without rows that are damaged."""
        ledger = cls(store, budget, groups, layers)
        measured: dict[int, list[Measurement]] = {}
        for number, measurement in store.parse("measurements", _read_measurement):
            measured.setdefault(number, []).append(measurement)
        for record in store.parse("trials", read_trial):
            record.result.measurements = measured.get(record.number, [])
            ledger.records[record.number] = record
        return ledger

    @property
    def damage(self) -> str | None:
        """Which files of the tables are damaged and ignored, in words; None if none is."""
        names = sorted(self.store.damaged)
        if not names:
            return None
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"damaged, and ignored: {', '.join(names[:3])}{more}"

    def lost(self) -> tuple[int, float]:
        """Return how often trials were restarted, in total, and the wall seconds lost."""
        records = self.records.values()
        return sum(r.retries for r in records), sum(r.lost_s for r in records)

    def complete(self) -> list[TrialRecord]:
        """Return the trials of full fidelity, by number."""
        return [
            self.records[number]
            for number in sorted(self.records)
            if self.records[number].result.state == "COMPLETE"
        ]

    def known(self) -> list[Known]:
        """Return the plan, loss and latency ratio of each trial of full fidelity."""
        return known_of(self.complete())

    def failed(self) -> list[TrialRecord]:
        return [r for r in self.records.values() if r.result.state == "FAILED"]

    def retryable(self) -> list[TrialRecord]:
        """Return the failed trials if all failed: their cause may be repaired by now."""
        failed = self.failed()
        return failed if len(failed) == len(self.records) else []

    def feasible(self) -> list[TrialRecord]:
        """Return the trials of full fidelity that are within the budget, by number."""
        return [r for r in self.complete() if is_feasible(r.result, self.budget)]

    def _points(self, records: Sequence[TrialRecord]) -> Points:
        values = [(r.result.metric_loss, r.result.latency_ratio) for r in records]
        return np.array(values, dtype=float).reshape(-1, 2)

    def front(self) -> list[TrialRecord]:
        """Return the Pareto front of the feasible trials, the fastest first."""
        feasible = self.feasible()
        return [feasible[i] for i in front_indices(self._points(feasible))]

    def hypervolume(self) -> float:
        """Return the area that the feasible trials dominate below (budget, REFERENCE_RATIO)."""
        return hypervolume(self._points(self.feasible()), (self.budget, REFERENCE_RATIO))
