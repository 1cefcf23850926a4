"""Take the toolkits' named files from training to delivered models.

    python -m benchmarks.sweep.named --checkouts FOLDER [--match TEXT] [--until STEP] [--again]

Data, weights and runs stay in the work folder, so that an interrupted command continues, and
weights are trained once. After each file its row is written there, and all rows to
bench/named_configs.json and docs/configs.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.sweep.named.files import NAMED
from benchmarks.sweep.named.rows import NamedRow, write_rows
from benchmarks.sweep.named.steps import LIMITS, STEPS, Limits, run_steps
from benchmarks.sweep.summary import write_page

WORK = Path("bench/work/configs-named")


def row_file(work: Path, key: str) -> Path:
    return work / key / "row.json"


def known_rows(work: Path) -> list[NamedRow]:
    """Return the rows of a work folder in the order of NAMED."""
    files = [row_file(work, named.key) for named in NAMED]
    return [NamedRow.from_json(json.loads(f.read_text())) for f in files if f.is_file()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkouts", type=Path, required=True)
    parser.add_argument("--match", default="", help="only files with this in their names")
    parser.add_argument("--until", choices=STEPS, default=STEPS[-1], help="end after this step")
    parser.add_argument("--again", action="store_true", help="also files that have a row")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--train-s", type=float, default=LIMITS.train_s)
    parser.add_argument("--search-s", type=float, default=LIMITS.search_s)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    limits = Limits(train_s=given.train_s, search_s=given.search_s)
    missing = [n.file for n in NAMED if not (given.checkouts / n.toolkit / n.file).is_file()]
    if missing:
        sys.exit(f"{given.checkouts} has no {missing[0]}; check out the wheels' releases")
    for named in NAMED:
        target = row_file(given.work, named.key)
        if given.match not in named.key or (target.is_file() and not given.again):
            continue
        print(f"{named.toolkit} {named.file}", flush=True)
        row = run_steps(named, given.checkouts, target.parent, limits, given.until)
        if row is None:
            continue
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(row.to_json()) + "\n")
        temporary.rename(target)
        said = "; ".join(row.failed) or f"{row.how}, loss {row.loss_val:+.1%}"
        print(f"  {said} ({sum(row.seconds.values()):.0f} s)", flush=True)
        write_rows(known_rows(given.work))
        write_page()


if __name__ == "__main__":
    main()
