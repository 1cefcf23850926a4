"""What a worker finds on the node where it runs: a device to share, and the run's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trainables.probe import DeviceLease, NoLease


class RunFiles(Protocol):
    """A run's files, shared between its nodes. `name` is a folder below the node's `root`."""

    def fetch(self, root: Path, name: str) -> None:
        """Write what was last uploaded under `name` to `root / name`."""
        ...

    def upload(self, root: Path, name: str) -> None:
        """Copy `root / name` to shared storage, for other nodes to fetch."""
        ...


class OneFolder:
    """The files of a run in a folder that all its workers share."""

    def fetch(self, root: Path, name: str) -> None:
        """Do nothing: the files are in the folder."""

    def upload(self, root: Path, name: str) -> None:
        """Do nothing: the files are in the folder."""


@dataclass(frozen=True)
class Node:
    """A node's device lease and its access to the run's files; by default, neither is shared."""

    lease: DeviceLease = field(default_factory=NoLease)
    files: RunFiles = field(default_factory=OneFolder)
