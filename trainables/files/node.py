"""What a worker finds on the node where it runs: a device to share, and the run's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trainables.probe import DeviceLease, NoLease


class RunFiles(Protocol):
    """The run's files, which other nodes may have made, or may need."""

    def fetch(self, root: Path, name: str) -> None:
        """Have `root / name` hold what was kept under the name last."""
        ...

    def keep(self, root: Path, name: str) -> None:
        """Let others have what `root / name` holds now."""
        ...


class OneFolder:
    """The files of a run whose folder all its workers see."""

    def fetch(self, root: Path, name: str) -> None:
        """Nothing: it is there."""

    def keep(self, root: Path, name: str) -> None:
        """Nothing: others see it."""


@dataclass(frozen=True)
class Node:
    """By default one that nobody else uses."""

    lease: DeviceLease = field(default_factory=NoLease)
    files: RunFiles = field(default_factory=OneFolder)
