"""The results of a sweep: bench/configs.json with a row per file, and docs/configs.md."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.sweep.named.rows import read_rows, table
from benchmarks.sweep.stages import STAGES, TOOLKITS

TARGET, PAGE = Path("bench/configs.json"), Path("docs/configs.md")
COLUMNS = (
    *("files of", "files", "load", "refused", "fail to load", "networks built", "with groups"),
    *("trials passed", "of tried", "in INT8"),
)
TITLE = "# The toolkits' configuration files\n"
HEAD = f"""
`make configs CHECKOUTS=FOLDER` gives every configuration file of the four toolkits, unchanged, to
its task, with small drawn data in the layout that the file names, and with random weights. The
stages are: the file is loaded, or refused with a reason; its network is built; pruning groups are
found; one trial passes (30 % of each group, two steps of training, export, evaluation, INT8). Files
with the same network share a trial. Rows by file are in bench/configs.json.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}
"""
REFUSED = """
## Refused, by reason

| toolkit | files | reason |
| --- | --- | --- |
"""
FAILED = """
## Failed

| file | after | what was raised |
| --- | --- | --- |
"""


def rows_of(work: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(work.glob("*/*.json"))]


def passed(row: dict[str, Any], stage: str) -> bool:
    return row["reached"] is not None and STAGES.index(row["reached"]) >= STAGES.index(stage)


def counts(name: str, rows: list[dict[str, Any]]) -> str:
    """Return a table's line: how many of the files passed each stage."""
    loaded = [row for row in rows if passed(row, "load")]
    built = [row for row in loaded if passed(row, "build")]
    grouped = [row for row in built if row["groups"]]
    trials = [row for row in grouped if passed(row, "trial")]
    tried = len(trials) + sum(1 for row in grouped if row["failed"] or row["refused"])
    refused = sum(1 for row in rows if row["refused"] and not row["reached"])
    failed = sum(1 for row in rows if row["failed"] and not row["reached"])
    int8 = sum(1 for row in trials if row["int8"] == "")
    surveyed = sum(1 for row in built if row["groups"] is not None)
    cells: list[object] = [len(rows), len(loaded), refused, failed, len(built)]
    cells += [f"{len(grouped)} of {surveyed}", len(trials), tried, int8]
    # A sweep that ended before a stage has no counts of it.
    if not surveyed:
        cells[5:] = ["-"] * 4
    elif not tried:
        cells[6:] = ["-"] * 3
    return f"| {name} | {' | '.join(map(str, cells))} |"


def plain(reason: str) -> str:
    """Return a reason without file names, so that equal reasons can be counted."""
    text = re.sub(r"config_file \S+?:? ", "", reason)
    text = re.sub(r"(\.?/?\b[\w.-]+)+/[\w./-]+", "FILE", text)
    return text.replace("|", "\\|").strip()[:160]


def page(rows: list[dict[str, Any]]) -> str:
    """Return the sweep's part of docs/configs.md."""
    if not rows:
        return TITLE
    by_kit = {kit: [row for row in rows if row["toolkit"] == kit] for kit in TOOLKITS}
    imagenet = [row for row in by_kit["PaddleClas"] if "/ImageNet/" in row["file"]]
    lines = [counts(kit, found) for kit, found in by_kit.items() if found]
    if imagenet:
        lines.insert(1, counts("PaddleClas's ImageNet folder", imagenet))
    reasons = Counter((row["toolkit"], plain(row["refused"])) for row in rows if row["refused"])
    refused = [f"| {kit} | {count} | {reason} |" for (kit, reason), count in reasons.most_common()]
    failed = [
        f"| {row['file']} | {row['reached'] or 'nothing'} | {plain(row['failed'])} |"
        for row in rows
        if row["failed"]
    ]
    text = TITLE + HEAD + "\n".join(lines) + "\n" + REFUSED + "\n".join(refused) + "\n"
    return text + (FAILED + "\n".join(failed) + "\n" if failed else "")


def write_page() -> None:
    """Write docs/configs.md from the rows in bench/: the sweep's and the named files'."""
    rows = json.loads(TARGET.read_text()) if TARGET.is_file() else []
    PAGE.write_text(page(rows) + table(read_rows()))


def write_summary(work: Path) -> None:
    """Write the rows and tables of all files in a work folder."""
    rows = rows_of(work)
    TARGET.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    write_page()
