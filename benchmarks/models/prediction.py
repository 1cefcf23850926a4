"""Latency predicted from twelve timings, against plans that were held out.

    python -m benchmarks.models.prediction [--only NAME ...] [--choice CHOICE ...] [--work FOLDER]

writes bench/prediction.json, a row per model and quantization choice, and the table in
docs/benchmarks.md. The models are untrained shapes of plans, as in a search's latency stage.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.delivered.problems import PROBLEMS, Lengths, Problem
from benchmarks.models.measure import WORK
from benchmarks.page import write_table
from benchmarks.summary import machine

TARGET = Path("bench/prediction.json")
HRNET = Problem(
    "hrnet", "paddleseg", 0.025, 8, Lengths(0, 0, 0, 0, 0), model="FCN-HRNetW18", more={}
)
MODELS = {name: PROBLEMS[name] for name in ("fashion_mnist", "mobilenet_v2")} | {"hrnet": HRNET}
CHOICES = ("float", "int8_ptq")
# Timings that the model is fitted to, the references' included, and plans held out.
TIMINGS, HELD_OUT = 12, 30
# Of the plans held out; the search's own seeds are small.
SEED = 1_000


@dataclass(frozen=True)
class Row:
    model: str
    choice: str
    groups: int
    branches: int
    timings: int
    held_out: int
    removed: int
    """Plans held out in which branches are removed."""
    median: float
    """Median error of the predicted latency, as a share of the measured one."""
    percentile_90: float
    median_removed: float
    """The same where branches are removed."""
    percentile_90_removed: float
    range: tuple[float, float]
    """Least and greatest latency ratio of the plans held out."""


def measure(name: str, choice: str, work: Path) -> Row:
    """Return the row of a model in a choice."""
    from clusters.lease import device_lease
    from search.config import RunConfig
    from search.records.search_space import build_space, reference_timings, timed
    from spaces.layers import LayerCosts, ratio_matrix
    from spaces.measurements import reference_plans, timing_plans
    from spaces.plan import QuantizationChoice
    from spaces.planning.latency_model import LatencyModel
    from trainables.files.node import Node
    from trainables.jobs import baseline_job, export_job, latency_job, reference_job
    from trainables.results import TimedShape

    problem, chosen = MODELS[name], QuantizationChoice(choice)
    problem.prepare(work)
    with tempfile.TemporaryDirectory() as folder:
        settings = problem.settings(work, Path(folder), 0)
        baseline, node = baseline_job(settings), Node(device_lease())
        space = build_space(RunConfig(budget=problem.budget), baseline)
        space = replace(space, choices=(chosen,))
        references = reference_plans(space)
        export_job(settings, baseline, node, references)
        found = reference_job(settings, baseline, node, references)
        baseline = replace(baseline, references=timed(found))
        known = reference_timings(baseline, space)
        # The first of each is the unpruned model, a reference.
        plans = timing_plans(space, chosen, TIMINGS - len(known) + 1, 0)[1:]
        others = timing_plans(space, chosen, HELD_OUT + 1, SEED)[1:]
        shapes = [
            one
            for one in latency_job(settings, baseline, node, [*plans, *others])
            if isinstance(one, TimedShape)
        ]
    known += [(one.plan, one.reading.ratio) for one in shapes if one.plan in plans]
    tested = [(one.plan, one.reading.ratio) for one in shapes if one.plan not in dict(known)]
    rows = ratio_matrix(space.groups, [plan for plan, _ in [*known, *tested]])
    ratios = np.array([ratio for _, ratio in [*known, *tested]])
    costs = LayerCosts(baseline.layers, space.groups)
    model = LatencyModel.fit(costs, rows[: len(known)], ratios[: len(known)])
    rows, ratios = rows[len(known) :], ratios[len(known) :]
    predicted = model.predict(rows)
    branches = [group.is_branch for group in space.groups]
    removed = (rows[:, branches] >= 1).any(axis=1)
    return Row(
        name,
        choice,
        len(space.groups) - sum(branches),
        sum(branches),
        len(known),
        len(tested),
        int(removed.sum()),
        *errors(predicted, ratios),
        *errors(predicted[removed], ratios[removed]),
        (float(ratios.min()), float(ratios.max())),
    )


def errors(predicted: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """Return the median and the 90th percentile of errors, as shares of what was measured."""
    found = np.abs(predicted / measured - 1)
    return float(np.median(found)), float(np.quantile(found, 0.9))


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| model | choice | groups, branches | timings | held out (branches removed) "
        "| median error | 90th percentile | of those removed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row.model} | {row.choice} | {row.groups}, {row.branches} | {row.timings} "
            f"| {row.held_out} ({row.removed}) | {row.median:.1%} | {row.percentile_90:.1%} "
            f"| {row.median_removed:.1%}, {row.percentile_90_removed:.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--choice", nargs="*", default=list(CHOICES))
    parser.add_argument("--work", type=Path, default=WORK.parent)
    chosen = parser.parse_args()
    stored = json.loads(TARGET.read_text())["models"] if TARGET.is_file() else []
    rows = {(row["model"], row["choice"]): Row(**row) for row in stored}
    for name in chosen.only:
        for choice in chosen.choice:
            rows[name, choice] = measure(name, choice, chosen.work.absolute())
            print(rows[name, choice], flush=True)
            ordered = sorted(rows.values(), key=lambda row: [*MODELS].index(row.model))
            content = {"machine": machine(), "models": [asdict(row) for row in ordered]}
            TARGET.write_text(json.dumps(content, indent=1) + "\n")
            write_table("predicted latency", table(ordered))


if __name__ == "__main__":
    main()
