"""The figures of all benchmarks in one file, each with its conditions.

    python -m benchmarks.summary [--seeds N] [--evaluations N] [--only PART ...] [--finished]

writes bench/summary.json, its tables in docs/benchmarks.md, bench/ablation.md, and the parquet
files behind them. Figures of parts that are not run again stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import ablation, growth, overhead, probe, sensitivity_speed
from benchmarks.compare import EVALUATIONS, SEEDS, compare, figures, table
from benchmarks.delivered import figures as delivered_figures
from benchmarks.delivered import part as delivered_part
from benchmarks.delivered.judging import latest
from benchmarks.delivered.problems import PROBLEMS as DELIVERED_PROBLEMS
from benchmarks.delivered.problems import SECONDS
from benchmarks.page import write_table

THRESHOLD, OPTUNA, OURS = "threshold sweep, INT8", "plain Optuna", "ours"
# Methods with twice the seeds: with three, chance moves their ratio by several percent.
TWICE = (THRESHOLD, OURS)


def compared(found: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Return ours relative to the threshold sweep and to plain Optuna, over all and by problem."""

    def logs(rows: pd.DataFrame, column: str) -> np.ndarray:
        """Return log(ours / threshold sweep) by seed."""
        by_seed = rows.set_index(["method", "seed"])[column]
        return np.log((by_seed[OURS] / by_seed[THRESHOLD]).dropna().to_numpy())

    latency, volume, needed, errors = {}, {}, {}, {}
    for problem, rows in found.groupby("problem", sort=False):
        pairs = logs(rows, "best_latency_ratio")
        latency[problem] = float(np.exp(pairs.mean()))
        errors[problem] = float(pairs.std(ddof=1) / len(pairs) ** 0.5)
        volume[problem] = float(np.exp(logs(rows, "hypervolume").mean()))
        optuna = rows[rows["method"] == OPTUNA]
        goal, evaluations = optuna["hypervolume"].mean(), optuna["evaluations"].mean()
        ours = rows[(rows["method"] == OURS) & rows["seed"].isin(optuna["seed"])]
        shares = []
        for grown in ours["grown"]:
            reached = [count for count, value in enumerate(grown, 1) if value >= goal]
            # Not reached counts as twice the evaluations.
            shares.append((reached[0] if reached else 2 * evaluations) / evaluations)
        needed[problem] = float(np.mean(shares))

    def over_all(values: dict[str, float]) -> float:
        return float(np.exp(np.mean(np.log(list(values.values())))))

    return {
        "latency_vs_threshold_int8": {
            "value": over_all(latency),
            "by_problem": latency,
            # Of each problem's mean over seeds, and of the mean over problems, as shares.
            "standard_errors": errors,
            "standard_error": float(np.sqrt(np.sum(np.square(list(errors.values())))))
            / len(errors),
        },
        "hypervolume_vs_threshold_int8": {"value": over_all(volume), "by_problem": volume},
        "evaluations_vs_optuna": {"value": over_all(needed), "by_problem": needed},
    }


def methods_table(found: pd.DataFrame) -> str:
    """Return the table of all methods by problem, ours last."""
    from benchmarks.methods import METHODS

    position = {method: index for index, method in enumerate(METHODS)}
    ordered = found.sort_values("method", key=lambda column: column.map(position), kind="stable")
    return table(ordered.sort_values("problem", kind="stable"))


def parts_table(summary: dict[str, dict[str, Any]]) -> str:
    """Return the table of the figures of all `PARTS` that have been measured."""
    lines = ["| figure | value | measured on |", "| --- | --- | --- |"]
    for part in PARTS.values():
        for figure, meaning in part.figures.items():
            if figure in summary:
                value = summary[figure]["value"]
                lines.append(f"| {meaning} | {value:.3g} | {part.problems} |")
    return "\n".join(lines)


def machine() -> dict[str, object]:
    from trainables.files.cache import processor

    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}


@dataclass(frozen=True)
class Part:
    """A benchmark, its figures, and the problem they are measured on."""

    measure: Callable[[], dict[str, float]]
    figures: Mapping[str, str]
    """What each figure means, by its key in the measurement."""
    problems: str
    seeds: int = 1


PARTS = {
    "sensitivity": Part(
        sensitivity_speed.measure,
        {
            "sensitivity_speedup": "sensitivity stage: times faster than PaddleSlim's",
            "sensitivity_rank_correlation": "sensitivity stage: rank correlation with PaddleSlim's",
        },
        "fashion_mnist, 9 groups at 9 ratios",
    ),
    "probe": Part(
        probe.measure,
        {
            "probe_cv": "latency probe: median coefficient of variation",
            "probe_order": "latency probe: share of pairs 10 % apart that are read in right order",
        },
        "fashion_mnist, 12 models, 10 readings each beside a process that loads the machine",
    ),
    "overhead": Part(
        overhead.measure,
        {"overhead_share": "run: share of the trials' wall time outside their stages"},
        "fashion_mnist, 24 trials",
    ),
    "growth": Part(
        growth.measure,
        {
            "suggest_p95_ms": "suggestion: 95th percentile, ms",
            "promote_p95_ms": "suggestion that promotes a trial: 95th percentile, ms",
            "simulated_busy": "suggestions: share of time that the simulated workers are busy",
        },
        "tabulated, 60 groups, 10,000 finished trials, 512 workers",
    ),
}


def delivered(work: Path, folder: Path, finished: bool) -> dict[str, dict[str, Any]]:
    """Return the figures of whole flows, and write bench/delivered.json and the table."""
    target = folder / "delivered.json"
    found = delivered_part.measure(work, finished=finished)
    judged = latest(delivered_part.read(target), found)
    target.write_text(delivered_part.written(judged))
    write_table("delivered", delivered_figures.table(judged))
    behind = {
        "budgets": {name: problem.budget for name, problem in DELIVERED_PROBLEMS.items()},
        "processor_s": SECONDS,
    }
    return {
        name: {**figure, "problems": list(figure["by_problem"]), **behind}
        for name, figure in delivered_figures.summarised(judged).items()
    }


def main() -> None:
    from benchmarks.methods import METHODS
    from benchmarks.setup import PROBLEMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--work", type=Path, default=Path("bench/work"))
    parser.add_argument("--only", nargs="*", default=["compare", "delivered", "ablation", *PARTS])
    parser.add_argument(
        "--finished", action="store_true", help="of `delivered`, only the cells that have finished"
    )
    chosen = parser.parse_args()
    folder = Path("bench")
    folder.mkdir(exist_ok=True)
    target = folder / "summary.json"
    summary = json.loads(target.read_text()) if target.is_file() else {}
    stamp = {"machine": machine(), "date": datetime.now(timezone.utc).date().isoformat()}
    if "compare" in chosen.only:
        problems = [problem.name for problem in PROBLEMS]
        rows = compare(
            problems,
            list(METHODS),
            chosen.seeds,
            chosen.evaluations,
            chosen.work.absolute(),
            twice=TWICE,
        )
        rows.to_parquet(folder / "evaluations.parquet", index=False)
        found = figures(rows)
        rows_by_method = methods_table(found)
        (folder / "table.md").write_text(rows_by_method + "\n")
        write_table("make bench", rows_by_method)
        behind = {
            "problems": problems,
            "budgets": {problem.name: problem.budget for problem in PROBLEMS},
            "seeds": {m: (2 if m in TWICE else 1) * chosen.seeds for m in METHODS},
            "evaluations": chosen.evaluations,
            **stamp,
        }
        summary |= {name: {**value, **behind} for name, value in compared(found).items()}
        target.write_text(json.dumps(summary, indent=1) + "\n")
    if "delivered" in chosen.only:
        found_delivered = delivered(chosen.work.absolute(), folder, chosen.finished)
        summary |= {name: {**figure, **stamp} for name, figure in found_delivered.items()}
        target.write_text(json.dumps(summary, indent=1) + "\n")
    if "ablation" in chosen.only:
        given = (ablation.PROBLEMS, ablation.SEEDS, ablation.EVALUATIONS)
        ablation.write(folder, ablation.measure(*given, chosen.work.absolute()))
    for name, part in PARTS.items():
        if name in chosen.only:
            measured = part.measure()
            behind = {"problems": part.problems, "seeds": part.seeds, "measured": measured, **stamp}
            for figure in part.figures:
                summary[figure] = {"value": measured[figure], **behind}
            target.write_text(json.dumps(summary, indent=1) + "\n")
            write_table("parts", parts_table(summary))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
