"""What a run has found so far, read from its tables and stages: running, killed or finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import pandas as pd

from search.config import RunConfig
from search.console import costs_text, percent
from search.records.ledger import REFERENCE_RATIO, Ledger
from search.records.manifest import Manifest
from search.records.opening import local_copy
from search.records.prospects import VERDICTS, Prospects
from search.records.run_folder import GAVE_UP, JOURNAL, RunFolder, read_config
from search.records.search_space import build_space, check_mixtures, drop_untimed, with_mixtures
from search.records.stage_files import Curves, References, Timings
from search.records.tables import Store
from search.records.trial_record import STAGES, TrialRecord
from spaces.heuristics import THRESHOLDS, Sensitivities, equal_loss_threshold
from spaces.mixing import Int8Costs
from spaces.pareto import hypervolume
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.planning.planner import Planner
from trainables.results import Baseline


@dataclass(frozen=True)
class ThresholdPlan:
    """The plan that an equal-loss threshold chooses, as today's tools do."""

    threshold: float
    """Relative loss that each group alone was allowed."""
    plan: Plan
    metric_loss: float
    cost: float
    """See `Goal.cost`."""
    measured: bool
    """Whether the plan was tried; otherwise both figures are predicted."""


@dataclass(frozen=True)
class RetrainedPlan:
    """A trial's plan after it was trained in full."""

    number: int
    precision: str
    trial_loss: float | None
    """Its loss after the training of its trial."""
    metric_loss: float
    cost: float
    """See `Goal.cost`."""
    delivered: bool

    @property
    def in_words(self) -> str:
        """The loss before and after the full training."""
        became = "delivered at" if self.delivered else "at"
        return (
            f"Trial {self.number}, at {percent(self.trial_loss)} in the search, was "
            f"trained in full and {became} {percent(self.metric_loss)}"
        )


@dataclass(frozen=True)
class TrialPoint:
    """A finished trial in a figure."""

    number: int
    precision: str
    origin: str
    verdict: str
    metric_loss: float
    """Of a paused trial: predicted, after training in full."""
    cost: float
    """See `Goal.cost`."""
    on_front: bool
    costs: str
    """Its ratios to the unpruned model's, in words: latency, and what is minimized."""
    plan: str
    """In words."""


@dataclass(frozen=True)
class ProgressPoint:
    """How far a search was when a trial ended."""

    minutes: float
    """Since the first trial began."""
    hypervolume: float
    best_ratio: float | None
    """The least cost of the feasible trials, as a ratio to the unpruned model's."""


@dataclass(frozen=True)
class Findings:
    """One run."""

    name: str
    path: Path
    config: RunConfig
    ledger: Ledger
    baseline: Baseline | None
    """None until the baseline has been measured."""
    groups: Sequence[PruningGroup]
    sensitivities: Sensitivities
    manifest: Manifest | None
    """None until the run is finished."""
    gave_up: str | None
    """Why the run ended without a model; None if it has not."""
    stage_seconds: Mapping[str, float]
    journal: Path | None
    """Optuna's file, if it is on this machine."""
    thresholds: Sequence[ThresholdPlan]
    int8: Int8Costs | None
    """What INT8 costs in each layer; None if that was not measured."""

    @property
    def budget(self) -> float:
        return self.config.budget

    def verdict(self, record: TrialRecord) -> str:
        """Return one of VERDICTS."""
        return Prospects(self.ledger).verdict(record)

    def points(self) -> list[TrialPoint]:
        """Return the trials whose loss and cost are known, by number."""
        front = {record.number for record in self.ledger.front()}
        prospects = Prospects(self.ledger)
        found = []
        for number, record in sorted(self.ledger.records.items()):
            result = record.result
            cost = self.ledger.cost(record)
            if result.metric_loss is not None and isfinite(cost):
                found.append(
                    TrialPoint(
                        number=number,
                        precision=record.plan.quantization.value,
                        origin=record.origin.replace("_", " "),
                        verdict=self.verdict(record),
                        metric_loss=float(prospects.predicted([record])[0][0])
                        if result.state == "PAUSED"
                        else result.metric_loss,
                        cost=cost,
                        on_front=number in front,
                        costs=costs_text(record, self.ledger),
                        plan=self.in_words(record.plan),
                    )
                )
        return found

    def retrained(self) -> list[RetrainedPlan]:
        """Return the plans that a finished run trained in full, in order."""
        if self.manifest is None:
            return []
        found = []
        for tried in self.manifest.retrained:
            record = self.ledger.records.get(tried.trial)
            if record is None:
                continue
            measured = self.manifest.ratio() if tried.accepted else None
            found.append(
                RetrainedPlan(
                    record.number,
                    record.plan.quantization.value,
                    record.result.metric_loss,
                    tried.loss_val,
                    self.ledger.cost(record) if measured is None else measured,
                    tried.accepted,
                )
            )
        return found

    def delivered(self) -> Plan | None:
        """Return the delivered plan, None before there is one."""
        tried = () if self.manifest is None else self.manifest.retrained
        records = (self.ledger.records.get(one.trial) for one in tried if one.accepted)
        return next((record.plan for record in records if record is not None), None)

    def in_words(self, plan: Plan, shown: int = 12) -> str:
        """Return the branches taken out, as lines of "without name", the channels left in the
        most pruned groups, as lines of "48 of 64 name", and the number of layers in float beside
        INT8 ones."""
        pruned = [(plan.ratio(g.name), g) for g in self.groups if plan.ratio(g.name) > 0]
        pruned.sort(key=lambda pair: -pair[0])
        lines = [
            f"without {g.name}"
            if g.is_branch
            else f"{g.channels - round(ratio * g.channels)} of {g.channels} {g.name}"
            for ratio, g in pruned[:shown]
        ]
        if len(pruned) > shown:
            lines.append(f"and {len(pruned) - shown} more groups")
        if plan.float_layers:
            lines.append(f"{len(plan.float_layers)} layers in float")
        return "\n".join(lines) or "nothing pruned"

    def progress(self) -> list[ProgressPoint]:
        """Return how far the search was after each finished trial, in order of ending."""
        ended = sorted(
            self.ledger.records.values(),
            key=lambda r: r.started_at.timestamp() + r.wall_s,
        )
        start = min((r.started_at.timestamp() for r in ended), default=0.0)
        found: list[ProgressPoint] = []
        points: list[tuple[float, float]] = []
        for record in ended:
            loss = record.result.metric_loss
            if loss is not None and self.ledger.is_feasible(record):
                points.append((loss, self.ledger.cost(record)))
            found.append(
                ProgressPoint(
                    minutes=(record.started_at.timestamp() + record.wall_s - start) / 60,
                    hypervolume=hypervolume(
                        np.array(points, dtype=float).reshape(-1, 2), (self.budget, REFERENCE_RATIO)
                    ),
                    best_ratio=min((r for _, r in points), default=None),
                )
            )
        return found

    def pruned(self) -> pd.DataFrame:
        """Return the front's ratios: a row a group in the model's order, a column a trial, that of
        least cost first, each 0 (whole) to below 1."""
        columns = {
            f"{record.number}": [record.plan.ratio(group.name) for group in self.groups]
            for record in self.ledger.front()
        }
        index = [group.name for group in self.groups]
        frame: pd.DataFrame = pd.DataFrame(columns, index=index)
        return frame

    def sensitivity(self) -> pd.DataFrame:
        """Return the sensitivities: a row for each group, a column for each tenth of its channels.

        Interpolated between the measured ratios; None above the highest.
        """
        tenths = [round(0.1 * step, 1) for step in range(1, 10)]
        rows = [
            [_at(self.sensitivities.get(group.name, ()), ratio) for ratio in tenths]
            for group in self.groups
        ]
        index = [group.name for group in self.groups]
        frame: pd.DataFrame = pd.DataFrame(rows, index=index, columns=tenths, dtype=float)
        return frame

    def trial_seconds(self) -> Mapping[str, float]:
        """Return the wall seconds of all trials, by stage of a trial."""
        records = self.ledger.records.values()
        return {
            stage: sum(record.result.seconds.get(stage, 0.0) for record in records)
            for stage in STAGES
        }

    def failures(self) -> Mapping[str, int]:
        """Return how many trials failed for each reason, the most common first."""
        reasons = Counter(record.result.reason or "unknown" for record in self.ledger.failed())
        return dict(reasons.most_common())

    def counts(self) -> Mapping[str, int]:
        """Return how many trials ended with each verdict."""
        verdicts = [self.verdict(record) for record in self.ledger.records.values()]
        return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def _at(curve: Sequence[tuple[float, float]], ratio: float) -> float | None:
    """Return the loss at a ratio, linearly between the measured ones; None beyond the last."""
    before = (0.0, 0.0)
    for point in curve:
        if point[0] >= ratio - 1e-9:
            share = (ratio - before[0]) / max(point[0] - before[0], 1e-9)
            return before[1] + share * (point[1] - before[1])
        before = point
    return None


def _threshold_plans(
    run: RunFolder,
    config: RunConfig,
    baseline: Baseline,
    ledger: Ledger,
    int8: Int8Costs | None,
) -> list[ThresholdPlan]:
    """Return the plans of equal-loss thresholds around the budget; none before the timings."""
    curves: Curves | None = run.stage("sensitivity")
    timings: Timings | None = run.stage("latency")
    references: References = run.stage("references") or []
    space = drop_untimed(build_space(config, baseline), references)
    if not curves or not timings or not space.groups or not baseline.layers:
        return []
    space = with_mixtures(space, int8, timings)
    check_mixtures(str(run.path), space, ledger.plans())
    planner = Planner(
        *(space, baseline.layers, curves, timings, config.budget),
        fidelity=ledger.fidelity,
        goal=ledger.goal,
        int8=int8,
    )
    planner.learn(ledger.known())
    offered = (QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT)
    choice = next((c for c in offered if c in space.choices), space.choices[0])
    thresholds = [share * config.budget for share in THRESHOLDS]
    plans = [equal_loss_threshold(space, curves, limit, choice) for limit in thresholds]
    losses, costs = planner.predict(plans)
    tried = {record.plan: record for record in ledger.complete()}
    found = []
    for limit, plan, loss, cost in zip(thresholds, plans, losses, costs, strict=True):
        known = tried.get(plan)
        if known is not None and known.result.metric_loss is not None:
            loss, cost = known.result.metric_loss, ledger.cost(known)
        found.append(ThresholdPlan(limit, plan, float(loss), float(cost), known is not None))
    return found


def read_findings(address: str) -> Findings:
    """Return the findings of the run at a folder or URI. Raises RunFolderError if there is none, or
    if files of its stages are damaged or, though its trials need them, missing."""
    path = local_copy(address)
    config, run = read_config(path), RunFolder(path)
    run.check_stages()
    baseline: Baseline | None = run.stage("baseline")
    groups = build_space(config, baseline).groups if baseline is not None else ()
    ledger = Ledger.of_run(Store(path), config, groups, baseline)
    found: Int8Costs | None = run.stage("layers")
    int8 = found if found is not None and found.layers else None
    thresholds = []
    if baseline is not None:
        thresholds = _threshold_plans(run, config, baseline, ledger, int8)
    return Findings(
        name=address.rstrip("/").rpartition("/")[2] or str(path),
        path=path,
        config=config,
        ledger=ledger,
        baseline=baseline,
        groups=groups,
        sensitivities=run.stage("sensitivity") or {},
        manifest=run.manifest,
        gave_up=run.stage(GAVE_UP),
        stage_seconds=run.stage("seconds") or {},
        journal=path / JOURNAL if (path / JOURNAL).is_file() else None,
        thresholds=thresholds,
        int8=int8,
    )
