"""Try every configuration file of the toolkits' checkouts.

    python -m benchmarks.sweep --checkouts FOLDER [--toolkit NAME ...] [--until STAGE]
        [--shard 1/4] [--match TEXT] [--again]

FOLDER has PaddleClas, PaddleSeg, PaddleDetection and PaddleOCR, each at the release of its wheel.
Every file has its own process, with limits of time and memory. Rows are written to the work folder
one by one, so that an interrupted sweep continues and shards can run in parallel. Each shard ends
by writing bench/configs.json and docs/configs.md from all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sweep.alike import copied, network_of
from benchmarks.sweep.isolated import LIMIT_GB, LIMIT_S, preload, try_file
from benchmarks.sweep.stages import STAGES, TOOLKITS, Row
from benchmarks.sweep.summary import write_summary

WORK = Path("bench/work/configs")


def files_of(checkouts: Path, toolkit: str) -> Iterator[tuple[Path, str]]:
    """Yield every configuration file of a toolkit, and its name within the checkout."""
    root = checkouts / toolkit
    found = {file for pattern in TOOLKITS[toolkit].files for file in root.glob(pattern)}
    for file in sorted(found):
        yield file.absolute(), file.relative_to(root).as_posix()


def row_file(work: Path, toolkit: str, name: str) -> Path:
    return work / toolkit / f"{name.replace('/', '__')}.json"


def known(file: Path, until: str) -> bool:
    """Return whether `file` has a row that reached stage `until`, or ended before it."""
    if not file.is_file():
        return False
    row = read_row(file)
    if row.reached is None or row.refused or row.failed:
        return True
    without_groups = row.reached == "groups" and not row.groups
    return without_groups or STAGES.index(row.reached) >= STAGES.index(until)


def read_row(file: Path) -> Row:
    """Return a row; one of an earlier sweep may lack fields."""
    return Row(**json.loads(file.read_text()))


def write_row(target: Path, row: Row) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".new")
    temporary.write_text(json.dumps(row.to_json()) + "\n")
    temporary.rename(target)


def row_like(work: Path, toolkit: str, file: Path, target: Path) -> Row | None:
    """Return the row of a file that is built, if a trial of the same network has passed."""
    if not target.is_file():
        return None
    own, network = read_row(target), network_of(toolkit, file)
    root = Path(str(file).removesuffix(own.file))
    for known_file in sorted((work / toolkit).glob("*.json")):
        other = read_row(known_file)
        if other.reached == STAGES[-1] and network_of(toolkit, root / other.file) == network:
            return copied(own, other)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkouts", type=Path, required=True)
    parser.add_argument("--toolkit", nargs="*", choices=list(TOOLKITS), default=list(TOOLKITS))
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1])
    parser.add_argument("--shard", default="1/1", help="a part of all files, as 1/4")
    parser.add_argument("--match", default="", help="only files with this in their names")
    parser.add_argument("--again", action="store_true", help="also files that have a row")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    parser.add_argument("--limit-gb", type=float, default=LIMIT_GB)
    given = parser.parse_args()
    shard, shards = (int(part) for part in given.shard.split("/"))
    missing = [kit for kit in given.toolkit if not (given.checkouts / kit).is_dir()]
    if missing:
        sys.exit(f"{given.checkouts} has no {', '.join(missing)}; check out the wheel's release")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    preload(given.toolkit)
    for toolkit in given.toolkit:
        for index, (file, name) in enumerate(files_of(given.checkouts, toolkit)):
            target = row_file(given.work, toolkit, name)
            skipped = index % shards != shard - 1 or given.match not in name
            if skipped or (known(target, given.until) and not given.again):
                continue
            row = None if given.again else row_like(given.work, toolkit, file, target)
            if row is None:
                row = try_file(toolkit, file, name, given.until, given.limit_s, given.limit_gb)
            write_row(target, row)
            said = row.refused or row.failed or f"{row.groups} groups"
            print(f"{toolkit} {name}: {row.reached or '-'}: {said} ({row.seconds} s)", flush=True)
    write_summary(given.work)


if __name__ == "__main__":
    main()
