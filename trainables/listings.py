"""Answers about a task's model, which cross to the driver."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.plan import PruningGroup
from trainables.results import Excluded


@dataclass(frozen=True)
class GroupShapes:
    """A pruning group, and the shapes of its parameters."""

    group: PruningGroup
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    """Structured name and unpruned shape of each parameter."""


@dataclass(frozen=True)
class GroupList:
    """The pruning groups of a model, and those excluded."""

    groups: tuple[GroupShapes, ...]
    excluded: tuple[Excluded, ...]
    remarks: tuple[str, ...] = ()
    """Remarks of the task and its weights, a line each."""
    branches: tuple[GroupShapes, ...] = ()
    kept_branches: tuple[Excluded, ...] = ()
    """Sublayers that end a branch which cannot be taken out, with the reasons."""


@dataclass(frozen=True)
class Demand:
    """One demand of the Task contract: whether it is met, and a sentence."""

    name: str
    met: bool
    said: str
