"""What each part of the search is worth: the search without it, against the whole, pair by pair.

    python -m tests.benchmarks.ablation EVALUATIONS.parquet ... [--against METHOD]

reads what tests.benchmarks.compare has written. A pair is one problem and one seed; what problems
differ in, and what a seed brings to both, does not blur the difference.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.compare import figures

HEADER = (
    "| problems | method | pairs | best latency, against the whole | hypervolume | "
    "after a quarter |\n| --- | --- | --- | --- | --- | --- |"
)


def _with_error(values: np.ndarray, form: str) -> str:
    """Return the mean and its standard error."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():{form}} ± {error:{form.lstrip('+')}}"


def differences(found: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return a row a pair: log of the latencies' ratio, hypervolumes' difference, also early."""
    found = found.assign(
        log_latency=np.log(found["best_latency_ratio"]),
        early=[grown[max(0, len(grown) // 4 - 1)] for grown in found["grown"]],
        kind=found["problem"].str.replace(r"-\d+$", "", regex=True),
    )
    key, measured = ["kind", "problem", "seed"], ["log_latency", "hypervolume", "early"]
    whole = found[found["method"] == against].set_index(key)[measured]
    rest = found[found["method"] != against].set_index([*key, "method"])[measured]
    return rest.sub(whole.reindex(rest.index.droplevel("method")).to_numpy()).reset_index()


def table(found: pd.DataFrame, against: str) -> str:
    lines = [HEADER]
    pairs = differences(found, against)
    for (kind, method), rows in pairs.groupby(["kind", "method"], sort=False):
        lines.append(
            f"| {kind} | {method} | {len(rows)} "
            f"| {_with_error(100 * rows['log_latency'].to_numpy(), '+.1f')} % "
            f"| {_with_error(rows['hypervolume'].to_numpy(), '+.4f')} "
            f"| {_with_error(rows['early'].to_numpy(), '+.4f')} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--against", default="ours")
    chosen = parser.parse_args()
    rows = pd.concat([pd.read_parquet(file) for file in chosen.files])
    print(table(figures(rows), chosen.against))


if __name__ == "__main__":
    main()
