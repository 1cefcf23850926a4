"""What each part of the search adds: the search without the part, against the whole search.

    python -m benchmarks.ablation [--problems N] [--seeds N] [--evaluations N]
    python -m benchmarks.ablation EVALUATIONS.parquet ... [--against METHOD]

runs N tabulated problems of each kind and writes bench/ablation.md and .parquet, or reads the files
that benchmarks.compare has written. Differences are taken in pairs of equal problem and seed, which
removes the variation between problems and between seeds. Parts are removed by fields of
`PlannerSettings` (spaces/planning/settings.py); see VARIANTS in methods.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.compare import compare, figures

# Defaults: problems of each kind, seeds, evaluations of one search. Guesses: 16 pairs tell 3 % of
# latency from chance.
PROBLEMS, SEEDS, EVALUATIONS = 8, 2, 20
HEADER = (
    "| problems | method | pairs | best latency, against the whole | hypervolume | "
    "after a quarter |\n| --- | --- | --- | --- | --- | --- |"
)


def _with_error(values: np.ndarray, form: str) -> str:
    """Return the mean and its standard error."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():{form}} ± {error:{form.lstrip('+')}}"


def differences(found: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return a row per pair, each a difference to method `against`.

    `log_latency`: of the logarithms of the best latency; `hypervolume`: at the end; `early`: after
    a quarter of the evaluations.
    """
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


def measure(problems: int, seeds: int, evaluations: int, work: Path) -> pd.DataFrame:
    """Return every evaluation of our search and of its variants with or without a part."""
    from benchmarks.methods import VARIANTS
    from benchmarks.tabulated import KINDS

    names = [f"{kind}-{number}" for kind in KINDS for number in range(problems)]
    parts = [name for name in VARIANTS if name.startswith("with")]
    return compare(names, ["ours", *parts], seeds, evaluations, work)


def write(folder: Path, rows: pd.DataFrame, against: str = "ours") -> None:
    rows.to_parquet(folder / "ablation.parquet", index=False)
    (folder / "ablation.md").write_text(table(figures(rows), against) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--against", default="ours")
    parser.add_argument("--problems", type=int, default=PROBLEMS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--work", type=Path, default=Path("bench/work"))
    chosen = parser.parse_args()
    if chosen.files:
        rows = pd.concat([pd.read_parquet(file) for file in chosen.files])
    else:
        rows = measure(chosen.problems, chosen.seeds, chosen.evaluations, chosen.work)
        write(Path("bench"), rows, chosen.against)
    print(table(figures(rows), chosen.against))


if __name__ == "__main__":
    main()
