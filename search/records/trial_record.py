"""A finished trial, and its row of the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from search.records.columns import cells, read_cells
from spaces.plan import Plan
from trainables.results import MEASURED, Column, TrialResult

# Stages of a trial, each with a column of its seconds.
STAGES = ("prune", "finetune", "quantize", "export", "evaluate", "latency")
# Figures of a result that a promoted trial keeps until they are measured again.
FIGURES = (
    "metric",
    "metric_loss",
    "standard_error",
    "latency_ms",
    "baseline_latency_ms",
    "latency_ratio",
    "size_bytes",
    "export_difference",
)
STATES = ("PAUSED", "COMPLETE", "STOPPED", "FAILED")


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial."""

    number: Annotated[int, Column("number of the trial")]
    plan: Plan
    origin: Annotated[
        str,
        Column("source of the plan: warm_start, proposed (planner) or sampled (Optuna, random)"),
    ]
    result: TrialResult
    started_at: Annotated[datetime, Column("when the trial began")]
    wall_s: Annotated[float, Column("wall seconds from the beginning to the end of the trial")]
    retries: Annotated[int, Column("restarts of the trial because its worker was lost")] = 0
    lost_s: Annotated[float, Column("wall seconds spent before restarts, not in wall_s")] = 0.0
    closing_fidelity: Annotated[
        float,
        Column("share of the training in full that was done after the last plan, from finalists"),
    ] = 0.0

    @property
    def level(self) -> int:
        """The last level at which a trial was measured; only for one that was."""
        assert self.result.level is not None
        return self.result.level

    @property
    def fidelity(self) -> float:
        """The fidelity of its last measurement; only for a trial that was measured."""
        assert self.result.fidelity is not None
        return self.result.fidelity


def continued(before: TrialRecord, after: TrialRecord) -> TrialRecord:
    """Return the record of a trial that was promoted, from that of its levels before and that of
    its last level alone.

    What the last level did not measure stays as it was, so a level that failed leaves the figures
    of the one before.
    """
    old, new = before.result, after.result
    failed = new.state not in MEASURED
    kept = {
        name: getattr(old, name) if getattr(new, name) is None else getattr(new, name)
        for name in FIGURES
    }
    result = replace(
        new,
        **kept,
        level=old.level if failed else new.level,
        fidelity=old.fidelity if failed else new.fidelity,
        measurements=[*old.measurements, *new.measurements],
        seconds={s: old.seconds.get(s, 0.0) + new.seconds.get(s, 0.0) for s in STAGES},
    )
    return replace(
        before,
        result=result,
        wall_s=before.wall_s + after.wall_s,
        retries=before.retries + after.retries,
        lost_s=before.lost_s + after.lost_s,
        closing_fidelity=before.closing_fidelity + after.closing_fidelity,
    )


def trial_row(record: TrialRecord) -> dict[str, Any]:
    """Return a trial's row, without the columns that need the budget or the model's layers."""
    return {
        **cells(record),
        "plan_key": record.plan.key,
        "plan": json.dumps(record.plan.to_json(), sort_keys=True),
        "quantization": record.plan.quantization.value,
        **cells(record.result),
        **{f"{stage}_s": record.result.seconds.get(stage) for stage in STAGES},
    }


def read_trial(row: Mapping[str, Any]) -> TrialRecord:
    """Return the record in a row, without its measurements.

    Raises ValueError, TypeError or LookupError for a damaged row.
    """
    stages = {stage: row[f"{stage}_s"] for stage in STAGES}
    spent = {stage: value for stage, value in stages.items() if value is not None}
    # Older tables have a level for trials that were never measured.
    unmeasured = {"level": None, "fidelity": None} if row["metric"] is None else {}
    result = read_cells(TrialResult, {**row, **unmeasured}, seconds=spent)
    figures = [result.metric, result.metric_loss, result.latency_ratio]
    measured = result.state in MEASURED
    if result.state not in STATES or (measured and None in figures):
        raise ValueError(f"no trial ends as {result.state} with {figures}")
    # Older tables lack these.
    sums = ("retries", "lost_s", "closing_fidelity")
    known = {**row, **{name: row[name] or 0 for name in sums}}
    plan = Plan.from_json(json.loads(row["plan"]))
    return read_cells(TrialRecord, known, plan=plan, result=result)
