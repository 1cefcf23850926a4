"""What became of each file, and the table of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

TARGET = Path("bench/named_configs.json")
COLUMNS = (
    *("file", "groups (excluded)", "baseline (chance)", "by", "delivered, val", "test", "loss"),
    *("faster", "smaller", "seconds"),
)
HEAD = f"""
## Through to a delivered model

`python -m benchmarks.sweep.named --checkouts FOLDER` draws data that can be learned in the layout
that a file names, trains its network on them from nothing until it does clearly better than chance,
has the contract checked, searches with a budget of 0.1 in a few short trials, and compares what the
delivered model gives on its engine with its manifest. Where a search takes too long, `search.apply
uniform` stands for it. The input is the smallest that the network takes well, so latencies compare
within a row alone. Rows are in bench/named_configs.json.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}
"""


@dataclass(frozen=True)
class NamedRow:
    """What became of one file."""

    toolkit: str
    file: str
    network: str | None = None
    metric_name: str | None = None
    learned: float | None = None
    """The metric of the trained weights on validation, in the framework."""
    learned_steps: int | None = None
    learned_seconds: float | None = None
    chance: float | None = None
    """The metric of a model that ignores its inputs; None: nothing that it gives can be judged."""
    above_chance: bool | None = None
    unmet: tuple[str, ...] = ()
    """Demands of the contract that --check-task finds unmet."""
    groups: int | None = None
    excluded: int | None = None
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
    """Whether it is faster or smaller; if not, the run has to have said so."""
    tensor: str = ""
    """The test that compares the input of files of this toolkit with the toolkit's own."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall seconds of each step."""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """What did not go as it should, a line each."""

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
        f"{row.metric_name or ''} {_number(row.baseline_val)} ({_number(row.chance)})",
        by,
        *(_number(row.delivered_val), _number(row.delivered_test), loss),
        *(_times(row.latency_ratio), _times(row.size_ratio)),
        f"{sum(row.seconds.values()):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def table(rows: list[NamedRow]) -> str:
    """Return the part of docs/configs.md that is of these files; empty without any."""
    if not rows:
        return ""
    lines = [line(row) for row in rows]
    said = [f"- {row.file}: {text}" for row in rows for text in row.failed]
    notes = "\nWhat did not go as it should:\n\n" + "\n".join(said) + "\n" if said else ""
    return HEAD + "\n".join(lines) + "\n" + notes


def read_rows(target: Path = TARGET) -> list[NamedRow]:
    """Return the rows that were written last; none without the file."""
    if not target.is_file():
        return []
    return [NamedRow.from_json(value) for value in json.loads(target.read_text())]


def write_rows(rows: list[NamedRow], target: Path = TARGET) -> None:
    target.write_text("[\n" + ",\n".join(json.dumps(row.to_json()) for row in rows) + "\n]\n")
