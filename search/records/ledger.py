"""Every finished trial of a study, in memory and in the tables, for the searcher, the stopping rule
and the display."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from search.config import RunConfig
from search.records.columns import cells, read_cells
from search.records.tables import Store
from search.records.trial_record import TrialRecord, read_trial, trial_row
from spaces.goal import LATENCY, Goal, Quantity
from spaces.layers import Layer, LayerCosts, ratio_matrix
from spaces.pareto import Points, front_indices, hypervolume
from spaces.plan import Plan, PruningGroup
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known
from trainables.levels import training_levels
from trainables.results import MEASURED, Baseline, Measurement, TrialResult

# Cost of the hypervolume's reference point, the baseline's; its loss is the budget.
REFERENCE_RATIO = 1.0


def _read_measurement(row: dict[str, Any]) -> tuple[int, Measurement]:
    """Return the trial's number and the measurement of a row."""
    return int(row["number"]), read_cells(Measurement, row)


def is_feasible(result: TrialResult, budget: float) -> bool:
    """Return whether a result has full fidelity and is within the budget."""
    return (
        result.state == "COMPLETE"
        and result.metric_loss is not None
        and result.metric_loss <= budget
    )


def goal_of(config: RunConfig, baseline: Baseline) -> Goal:
    """Return what a study minimizes, and its bounds relative to the unpruned model."""
    latency_ms, size = config.max_latency_ms, config.max_size_bytes
    return Goal(
        config.objective,
        None if latency_ms is None else latency_ms / baseline.latency_ms,
        None if size is None else size / baseline.size_bytes,
        baseline.size_bytes,
    )


@dataclass
class Ledger:
    """The finished trials, each written to the store before anyone is told of it."""

    store: Store
    budget: float
    groups: Sequence[PruningGroup]
    layers: Sequence[Layer] = ()
    fidelities: Sequence[float] = (1.0,)
    """Of the levels of training, ascending; the last is 1."""
    confidence_z: float = 0.0
    """Margin between a loss on validation and the budget, in standard errors, for one model."""
    goal: Goal = LATENCY
    """What is minimized, and the bounds beside the budget."""
    records: dict[int, TrialRecord] = field(default_factory=dict, init=False)
    listeners: list[Callable[[TrialRecord], None]] = field(default_factory=list, init=False)
    _multiply_adds: dict[Plan, float] = field(default_factory=dict, init=False)
    """The share of the multiply-adds that is left, by plan."""

    def __post_init__(self) -> None:
        self.writes = 0
        """How many trials and levels this process has recorded."""
        self.fidelity = FidelityModel(self.fidelities, self.budget)
        """Predicts what training in full will leave of a loss; learns from promoted trials."""

    def record(self, record: TrialRecord) -> None:
        """Write a finished trial, or a level of one, to the tables, then tell the listeners.

        A promoted trial replaces its earlier record. Its row in `trials` is written last: a trial
        that has one has all its other rows.
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
        # Those of earlier levels stay: they are no longer in memory.
        before = self.records.get(record.number)
        if before is None:
            self.store.write("latency", name, probes)
        elif probes:
            self.store.write("latency", f"{name}-{before.level + 1}", probes)
        self.store.write("ratios", name, self._ratio_rows(record))
        row = {
            **trial_row(record),
            "feasible": self.is_feasible(record),
            "multiply_adds": self.multiply_adds(record.plan),
        }
        self.store.write("trials", name, [row])
        # They are in the table: in memory those of thousands of trials are too many.
        result.readings.clear()
        self.records[record.number] = record
        self.writes += 1
        self._learn(result.measurements[-2:])
        for listener in self.listeners:
            listener(record)

    def _learn(self, measurements: Sequence[Measurement]) -> None:
        """Teach the fidelity model what each level left of the loss before."""
        points = [(m.fidelity, m.metric_loss) for m in measurements if m.stage == "quantize"]
        steps = set(pairwise(self.fidelities))
        for before, after in pairwise(points):
            if (before[0], after[0]) in steps:
                self.fidelity.learn(before, after)

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

    def _share(self, plan: Plan) -> float | None:
        """Return the share of the multiply-adds that is left, None if no layers are known."""
        if not self.layers:
            return None
        if plan not in self._multiply_adds:
            kept = self._costs.multiply_adds(ratio_matrix(self.groups, [plan]))
            self._multiply_adds[plan] = float(kept[0])
        return self._multiply_adds[plan]

    def multiply_adds(self, plan: Plan) -> int | None:
        """Return the pruned model's multiply-adds of one sample, None if no layers are known."""
        share = self._share(plan)
        if share is None:
            return None
        return round(share * sum(layer.multiply_adds for layer in self.layers))

    def size_ratio(self, result: TrialResult) -> float | None:
        """Return the export's bytes relative to the unpruned model's, None if either is unknown."""
        whole = self.goal.baseline_bytes
        if whole is None or result.size_bytes is None:
            return None
        return result.size_bytes / whole

    def cost(self, record: TrialRecord) -> float:
        """Return what the search minimizes, as a ratio to the unpruned model's.

        Infinite if it was not measured.
        """
        result = record.result
        share = self._share(record.plan) if self.goal.objective == "multiply_adds" else None
        return self.goal.cost(result.latency_ratio, self.size_ratio(result), share)

    def order(self, record: TrialRecord) -> tuple[float, float]:
        """Return a key that sorts measured trials by cost, those of equal cost by latency."""
        return self.cost(record), record.result.latency_ratio or float("inf")

    def exceeded(self, record: TrialRecord) -> Quantity | None:
        """Return the quantity whose bound a trial exceeds, None if it keeps the bounds."""
        return self.goal.exceeded(record.result.latency_ratio, self.size_ratio(record.result))

    def is_feasible(self, record: TrialRecord) -> bool:
        """Return whether a trial has full fidelity and is within the budget and the bounds."""
        return is_feasible(record.result, self.budget) and self.exceeded(record) is None

    @classmethod
    def load(
        cls,
        store: Store,
        budget: float,
        groups: Sequence[PruningGroup],
        layers: Sequence[Layer] = (),
        fidelities: Sequence[float] = (1.0,),
        confidence_z: float = 0.0,
        goal: Goal = LATENCY,
    ) -> Ledger:
        """Return the ledger in a run's tables, without rows that are damaged."""
        ledger = cls(store, budget, groups, layers, fidelities, confidence_z, goal)
        measured: dict[int, list[Measurement]] = {}
        for number, measurement in store.parse("measurements", _read_measurement):
            measured.setdefault(number, []).append(measurement)
        for record in store.parse("trials", read_trial):
            levels = sorted(measured.get(record.number, []), key=lambda m: m.fidelity)
            # A driver that died before it wrote the trial's row has left a level too many.
            done = record.result.fidelity
            levels = [m for m in levels if done is None or m.fidelity <= done]
            record.result.measurements = levels
            ledger._learn(levels)
            ledger.records[record.number] = record
        return ledger

    @classmethod
    def of_run(
        cls,
        store: Store,
        config: RunConfig,
        groups: Sequence[PruningGroup],
        baseline: Baseline | None,
    ) -> Ledger:
        """Return the ledger of a run: `load` with its budget, levels, margin and goal."""
        if baseline is None:
            return cls.load(store, config.budget, groups)
        fidelities = [level.fidelity for level in training_levels(config, baseline)]
        return cls.load(
            store,
            config.budget,
            groups,
            baseline.layers,
            fidelities,
            config.confidence_z,
            goal_of(config, baseline),
        )

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

    def plans(self) -> list[Plan]:
        """Return the plans that were tried, by number."""
        return [record.plan for _, record in sorted(self.records.items())]

    def complete(self) -> list[TrialRecord]:
        """Return the trials of full fidelity, by number."""
        return [
            self.records[number]
            for number in sorted(self.records)
            if self.records[number].result.state == "COMPLETE"
        ]

    def paused(self) -> list[TrialRecord]:
        """Return the trials that may be promoted, by number."""
        return [r for _, r in sorted(self.records.items()) if r.result.state == "PAUSED"]

    def known(self) -> list[Known]:
        """Return what is known of each trial that was measured, by number."""
        return self.known_of(record for _, record in sorted(self.records.items()))

    def known_of(self, records: Iterable[TrialRecord]) -> list[Known]:
        """Return what is known of each trial that was measured after a level of training."""
        return [
            Known(
                record.plan,
                record.result.metric_loss,
                record.result.latency_ratio,
                record.fidelity,
                record.result.standard_error or 0.0,
                self.size_ratio(record.result),
                self._share(record.plan),
            )
            for record in records
            if record.result.state in MEASURED
            and record.result.metric_loss is not None
            and record.result.latency_ratio is not None
        ]

    def failed(self) -> list[TrialRecord]:
        return [r for r in self.records.values() if r.result.state == "FAILED"]

    def retryable(self) -> list[TrialRecord]:
        """Return the failed trials if all failed: their cause may be repaired by now."""
        failed = self.failed()
        return failed if len(failed) == len(self.records) else []

    def feasible(self) -> list[TrialRecord]:
        """Return the trials of full fidelity that are within the budget and the bounds, by
        number."""
        return [r for r in self.complete() if self.is_feasible(r)]

    def _points(self, records: Sequence[TrialRecord]) -> Points:
        values = [(r.result.metric_loss, self.cost(r)) for r in records]
        return np.array(values, dtype=float).reshape(-1, 2)

    def front(self) -> list[TrialRecord]:
        """Return the Pareto front of the feasible trials, that of least cost first."""
        feasible = self.feasible()
        return [feasible[i] for i in front_indices(self._points(feasible))]

    def hypervolume(self) -> float:
        """Return the area that the feasible trials dominate below (budget, REFERENCE_RATIO)."""
        return hypervolume(self._points(self.feasible()), (self.budget, REFERENCE_RATIO))
