"""The figures of all benchmarks in one file, with what stands behind each.

    python -m benchmarks.summary [--seeds N] [--evaluations N] [--only PART ...]

writes bench/summary.json, bench/table.md, the same table in README.md, bench/ablation.md, and the
parquet files behind them. Figures of parts that are not run again stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import ablation, growth, overhead, probe, sensitivity_speed
from benchmarks.compare import EVALUATIONS, SEEDS, compare, figures, table

# Between these lines README.md has the table.
BEGIN, END = "<!-- table of make bench -->", "<!-- end of table -->"

THRESHOLD, OPTUNA, OURS = "threshold sweep, INT8", "plain Optuna", "ours"
# With three seeds chance alone moves their ratio by several percent.
TWICE = (THRESHOLD, OURS)


def compared(found: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Return ours against the threshold sweep and against plain Optuna, problem by problem."""

    def logs(rows: pd.DataFrame, column: str) -> np.ndarray:
        """Return ours over the threshold sweep's, seed by seed, as logarithms."""
        by_seed = rows.set_index(["method", "seed"])[column]
        return np.log((by_seed[OURS] / by_seed[THRESHOLD]).dropna().to_numpy())

    latency, volume, needed, errors = {}, {}, {}, {}
    for problem, rows in found.groupby("problem", sort=False):
        pairs = logs(rows, "best_latency_ratio")
        latency[problem] = float(np.exp(pairs.mean()))
        errors[problem] = float(pairs.std(ddof=1) / len(pairs) ** 0.5)
        volume[problem] = float(np.exp(logs(rows, "hypervolume").mean()))
        optuna = rows[rows["method"] == OPTUNA]
        goal, spent = optuna["hypervolume"].mean(), optuna["evaluations"].mean()
        ours = rows[(rows["method"] == OURS) & rows["seed"].isin(optuna["seed"])]
        shares = []
        for grown in ours["grown"]:
            reached = [count for count, value in enumerate(grown, 1) if value >= goal]
            # Never reached counts as twice what was spent.
            shares.append((reached[0] if reached else 2 * spent) / spent)
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


def with_table(readme: str, rows: str, begin: str = BEGIN) -> str:
    """Return the README's text with these rows between its two marks."""
    before, rest = readme.split(begin)
    after = rest[rest.index(END) :]
    return f"{before}{begin}\n{rows}\n{after}"


def write_table(found: pd.DataFrame, target: Path, readme: Path) -> None:
    """Write the table of all methods into a file of its own and into the README."""
    from benchmarks.methods import METHODS

    places = {method: place for place, method in enumerate(METHODS)}
    ordered = found.sort_values("method", key=lambda column: column.map(places), kind="stable")
    rows = table(ordered.sort_values("problem", kind="stable"))
    target.write_text(rows + "\n")
    readme.write_text(with_table(readme.read_text(), rows))


def machine() -> dict[str, object]:
    from trainables.files.cache import processor

    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}


@dataclass(frozen=True)
class Part:
    """A benchmark, its figures, and what they are measured on."""

    measure: Callable[[], dict[str, float]]
    figures: tuple[str, ...]
    problems: str
    seeds: int = 1


PARTS = {
    "sensitivity": Part(
        sensitivity_speed.measure,
        ("sensitivity_speedup", "sensitivity_rank_correlation"),
        "fashion_mnist, 9 groups at 9 ratios",
    ),
    "probe": Part(
        probe.measure,
        ("probe_cv", "probe_order"),
        "fashion_mnist, 12 models, 10 readings each beside a process that loads the machine",
    ),
    "overhead": Part(overhead.measure, ("overhead_share",), "fashion_mnist, 24 trials"),
    "growth": Part(
        growth.measure,
        ("suggest_p95_ms", "simulated_busy"),
        "tabulated, 60 groups, 10,000 finished trials, 512 workers",
    ),
}


def main() -> None:
    from benchmarks.methods import METHODS
    from benchmarks.setup import PROBLEMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--work", type=Path, default=Path("bench/work"))
    parser.add_argument("--only", nargs="*", default=["compare", "ablation", *PARTS])
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
        write_table(found, folder / "table.md", Path("README.md"))
        behind = {
            "problems": problems,
            "budgets": {problem.name: problem.budget for problem in PROBLEMS},
            "seeds": {m: (2 if m in TWICE else 1) * chosen.seeds for m in METHODS},
            "evaluations": chosen.evaluations,
            **stamp,
        }
        summary |= {name: {**value, **behind} for name, value in compared(found).items()}
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
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
