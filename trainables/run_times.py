"""Times of runs without a reference, as the toolkits take them. Imports no paddle."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.task import Shapes


@dataclass(frozen=True)
class RunTimes:
    """Milliseconds per run."""

    mean_ms: float
    spread_ms: float
    """Standard deviation over the runs."""


@dataclass(frozen=True)
class SizeTimes:
    """The unpruned model and the delivered one, at one size of their inputs."""

    shapes: Shapes
    before: RunTimes
    after: RunTimes
