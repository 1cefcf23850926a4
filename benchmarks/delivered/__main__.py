"""One block: every method on one problem with one seed.

    python -m benchmarks.delivered --problem P --seed S [--seconds N] [--method M ...]

A finished cell is not run again; its row is in bench/work/delivered. `--judge` evaluates and times
all delivered models of the block together; `python -m benchmarks.summary --only delivered` runs
what is missing and writes the figures; with `--finished` it runs nothing, and figures of blocks
that were measured on other days stay in bench/delivered.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.delivered.block import WORK, run_block
from benchmarks.delivered.judging import judge
from benchmarks.delivered.methods import ALL, METHODS
from benchmarks.delivered.problems import PROBLEMS, SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True, choices=PROBLEMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="processor seconds each")
    parser.add_argument("--method", nargs="*", choices=[*ALL], default=[*METHODS])
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--judge", action="store_true")
    chosen = parser.parse_args()
    work = chosen.work.absolute()
    run_block(chosen.problem, chosen.seed, chosen.seconds, chosen.method, work)
    if chosen.judge:
        judge(chosen.problem, chosen.seed, chosen.seconds, work)


if __name__ == "__main__":
    main()
