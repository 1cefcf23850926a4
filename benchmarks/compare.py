"""Methods side by side: equal numbers of evaluations, several seeds, real and tabulated problems.

python -m benchmarks.compare [--problems NAME ...] [--methods NAME ...] [--seeds N]
    [--evaluations N] [--work FOLDER] [--tabulated N]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd

# Evaluations of one search and seeds of one method, unless given otherwise. Guesses.
EVALUATIONS = 16
SEEDS = 3
# The unpruned float model's latency ratio, the corner of the box for hypervolumes.
REFERENCE_RATIO = 1.0


def trial_rows(problem: str, method: str, seed: int, count: int, work: Path) -> list[dict]:
    """Return a row for every evaluation of one method on one problem."""
    # One thread per worker: two workers share two cores.
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    from benchmarks.methods import METHODS, VARIANTS
    from benchmarks.setup import PROBLEMS, Prepared
    from benchmarks.tabulated import is_tabulated, tabulated

    if is_tabulated(problem):
        table = tabulated(problem)
        setup, evaluate = table.setup(seed), lambda plan: table.evaluate(plan, seed)
    else:
        chosen = next(item for item in PROBLEMS if item.name == problem)
        prepared = Prepared(chosen, work, seed)
        setup, evaluate = prepared.setup(), prepared.evaluate
    rows = []
    evaluations = {**METHODS, **VARIANTS}[method](setup, count)
    started = time.monotonic()
    plan = next(evaluations)
    while len(rows) < count:
        asked = time.monotonic()
        result = evaluate(plan)
        answered = time.monotonic()
        rows.append(
            {
                "problem": problem,
                "method": method,
                "seed": seed,
                "number": len(rows),
                "budget": setup.budget,
                "quantization": plan.quantization.value,
                "state": result.state,
                "reason": result.reason,
                "metric_loss": result.metric_loss,
                "latency_ratio": result.latency_ratio,
                "evaluation_s": answered - asked,
                "choosing_s": asked - started,
            }
        )
        started = answered
        try:
            plan = evaluations.send(result)
        except StopIteration:
            break
    evaluations.close()
    return rows


def figures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per problem, method and seed; `grown`: hypervolumes after each evaluation."""
    from spaces.pareto import hypervolume

    found = []
    for (problem, method, seed), runs in rows.groupby(["problem", "method", "seed"], sort=False):
        budget = runs["budget"].iloc[0]
        done = runs.sort_values("number")
        feasible = (done["state"] == "COMPLETE") & (done["metric_loss"] <= budget)
        best = done.loc[feasible, "latency_ratio"].min()
        # As a share of the box below budget and reference, so that problems can be compared.
        grown = [
            hypervolume(
                done.loc[feasible & (done["number"] < count), ["metric_loss", "latency_ratio"]]
                .to_numpy(float)
                .reshape(-1, 2),
                (budget, REFERENCE_RATIO),
            )
            / budget
            for count in range(1, len(done) + 1)
        ]
        found.append(
            {
                "problem": problem,
                "method": method,
                "seed": seed,
                "evaluations": len(done),
                "feasible": int(feasible.sum()),
                # Without a feasible plan the unpruned model is the best.
                "best_latency_ratio": REFERENCE_RATIO if np.isnan(best) else best,
                "hypervolume": grown[-1],
                "grown": grown,
            }
        )
    return pd.DataFrame(found)


def jobs(
    problems: Sequence[str], methods: Sequence[str], seeds: int, twice: Sequence[str] = ()
) -> Iterator[tuple[str, str, int]]:
    """Yield problem, method and seed; the methods in `twice` get twice as many seeds."""
    for seed in range(2 * seeds if twice else seeds):
        for problem in problems:
            for method in methods:
                if seed < seeds or method in twice:
                    yield problem, method, seed


def compare(
    problems: Sequence[str],
    methods: Sequence[str],
    seeds: int,
    count: int,
    work: Path,
    workers: int = 2,
    twice: Sequence[str] = (),
) -> pd.DataFrame:
    """Return every evaluation's row. Known evaluations are read from `work`."""
    from benchmarks.tabulated import is_tabulated

    work.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    real = [name for name in problems if not is_tabulated(name)]
    rows: list[dict] = []
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # Each problem is prepared by one process: two would write the same files.
        list(pool.map(_prepare, real, [work] * len(real)))
        waiting = {
            pool.submit(trial_rows, problem, method, seed, count, work): (problem, method, seed)
            for problem, method, seed in jobs(problems, methods, seeds, twice)
        }
        for done, job in enumerate(as_completed(waiting), 1):
            rows += job.result()
            print(f"{done}/{len(waiting)} {waiting[job]}", flush=True)
    return pd.DataFrame(rows)


def _prepare(problem: str, work: Path) -> None:
    os.environ.update(OMP_NUM_THREADS="1", FLAGS_enable_pir_api="0")
    from benchmarks.setup import PROBLEMS, Prepared

    Prepared(next(item for item in PROBLEMS if item.name == problem), work, 0).setup()


def table(found: pd.DataFrame) -> str:
    """Return a markdown table: mean and spread over seeds, by problem and method."""
    lines = [
        "| problem | method | seeds | best latency ratio | hypervolume |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (problem, method), group in found.groupby(["problem", "method"], sort=False):
        best, volume = group["best_latency_ratio"], group["hypervolume"]
        lines.append(
            f"| {problem} | {method} | {len(group)} "
            f"| {best.mean():.4f} ({best.min():.4f} to {best.max():.4f}) "
            f"| {volume.mean():.4f} ({volume.min():.4f} to {volume.max():.4f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    from benchmarks.methods import METHODS, VARIANTS
    from benchmarks.setup import PROBLEMS
    from benchmarks.tabulated import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=[item.name for item in PROBLEMS])
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--variants", action="store_true", help="also VARIANTS of this search")
    parser.add_argument("--tabulated", type=int, default=0, help="problems of each tabulated kind")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--work", type=Path, default=Path("bench/work"))
    parser.add_argument("--out", type=Path, default=Path("bench/evaluations.parquet"))
    chosen = parser.parse_args()
    numbers = range(chosen.tabulated)
    problems = [*chosen.problems, *(f"{kind}-{number}" for kind in KINDS for number in numbers)]
    methods = [*chosen.methods, *(VARIANTS if chosen.variants else ())]
    rows = compare(problems, methods, chosen.seeds, chosen.evaluations, chosen.work.absolute())
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(chosen.out, index=False)
    print(table(figures(rows)))


if __name__ == "__main__":
    main()
