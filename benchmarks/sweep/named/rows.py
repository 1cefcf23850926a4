"""The outcome of each named file, and their table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

TARGET = Path("bench/named_configs.json")
COLUMNS = (
    *("file", "groups (excluded)", "branches", "baseline (chance)", "by", "delivered, val", "test"),
    *("loss", "faster", "smaller", "seconds"),
)
HEAD = f"""
## From training to a delivered model

`python -m benchmarks.sweep.named --checkouts FOLDER` draws learnable data in the layout that a file
names, trains its network from random weights until it is clearly better than chance, checks the
contract, searches with a budget of 0.1 in a few short trials, and compares the delivered model's
metric on its engine with its manifest. Where a search takes too long, `search.apply explicit`
replaces it. Inputs are as small as the network allows, so compare latencies within a row only. A
row without a number of branches is older than their removal. Rows are in bench/named_configs.json.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}
"""


@dataclass(frozen=True)
class NamedRow:
    """The outcome of one file."""

    toolkit: str
    file: str
    network: str | None = None
    metric_name: str | None = None
    learned: float | None = None
    """The metric of the trained weights on validation, in Paddle."""
    learned_steps: int | None = None
    learned_seconds: float | None = None
    chance: float | None = None
    """The metric of a model that ignores its inputs; None if it is undefined for such a model."""
    above_chance: bool | None = None
    unmet: tuple[str, ...] = ()
    """Unmet demands of --check-task."""
    groups: int | None = None
    excluded: int | None = None
    branches: int | None = None
    """Branches that can be taken out; None in a row that is older than their removal."""
    how: Literal["search", "apply"] | None = None
    trials: int | None = None
    baseline_val: float | None = None
    delivered_val: float | None = None
    engine_val: float | None = None
    """The metric of the delivered model, loaded and evaluated again outside of the run."""
    baseline_test: float | None = None
    delivered_test: float | None = None
    budget: float | None = None
    loss_val: float | None = None
    loss_test: float | None = None
    latency_ratio: float | None = None
    size_ratio: float | None = None
    gained: bool | None = None
    """Whether it is faster or smaller; if not, the run must have said so."""
    tensor: str = ""
    """The test that compares this toolkit's input with the toolkit's own."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds of each step."""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """Failures, one per line."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NamedRow:
        known = {item.name for item in fields(cls)}
        plain = {name: item for name, item in value.items() if name in known}
        lists = {name: tuple(item) for name, item in plain.items() if isinstance(item, list)}
        return cls(**{**plain, **lists})


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{1 / value:.1f}x"


def line(row: NamedRow) -> str:
    """Return a file's line of the table."""
    by = "-" if row.how is None else row.how
    if row.how == "search":
        by = f"search, {row.trials} trials"
    loss = "-" if row.loss_val is None else f"{row.loss_val:+.1%}"
    cells = (
        f"{row.toolkit}: {Path(row.file).name}",
        "-" if row.groups is None else f"{row.groups} ({row.excluded})",
        "-" if row.branches is None else str(row.branches),
        f"{row.metric_name or ''} {_number(row.baseline_val)} ({_number(row.chance)})",
        by,
        *(_number(row.delivered_val), _number(row.delivered_test), loss),
        *(_times(row.latency_ratio), _times(row.size_ratio)),
        f"{sum(row.seconds.values()):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def table(rows: list[NamedRow]) -> str:
    """Return the named files' part of docs/configs.md; empty without rows."""
    if not rows:
        return ""
    lines = [line(row) for row in rows]
    said = [f"- {row.file}: {text}" for row in rows for text in row.failed]
    notes = "\nFailures:\n\n" + "\n".join(said) + "\n" if said else ""
    return HEAD + "\n".join(lines) + "\n" + notes


def read_rows(target: Path = TARGET) -> list[NamedRow]:
    """Return the rows that were written last, none if there is no file."""
    if not target.is_file():
        return []
    return [NamedRow.from_json(value) for value in json.loads(target.read_text())]


def write_rows(rows: list[NamedRow], target: Path = TARGET) -> None:
    target.write_text("[\n" + ",\n".join(json.dumps(row.to_json()) for row in rows) + "\n]\n")
