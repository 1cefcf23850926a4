"""What a flow delivers, and the protocol of a method."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.delivered.problems import Problem
from spaces.plan import Plan, Precision
from trainables.deployment.engines.registry import LocalKind

# Margin between the loss on validation and the budget, in standard errors: the search's default.
CONFIDENCE_Z = 1.64


@dataclass(frozen=True)
class Candidate:
    """An exported model and its figures on validation."""

    folder: str
    precision: Precision
    metric_loss: float
    standard_error: float
    plan: Plan | None = None
    """None if the method has no plans."""
    latency_ratio: float | None = None

    @property
    def loss_with_margin(self) -> float:
        return self.metric_loss + CONFIDENCE_Z * self.standard_error

    def keeps(self, budget: float) -> bool:
        """Return whether the loss on validation is within the budget, with its margin."""
        return self.loss_with_margin <= budget


@dataclass(frozen=True)
class DeliveredModel:
    """The end of a flow. Without a model that keeps the budget, the baseline is delivered."""

    folder: str | None
    """Folder of the exported model; None: the baseline."""
    precision: Precision
    processor_s: float
    """User and system seconds of the flow's processes, from its beginning to its end."""
    metric_loss: float
    """Relative loss on validation, as the method measured it."""
    standard_error: float
    plan: Plan | None = None
    notes: dict[str, str] = field(default_factory=dict)
    """What the method did, for the row: how many models it trained, which sampler it had."""
    engine: LocalKind = "onednn"
    """What runs the model."""

    @classmethod
    def of(cls, chosen: Candidate | None, processor_s: float, **notes: object) -> DeliveredModel:
        """Return the delivered model for a chosen candidate, None for the baseline."""
        words = {name: str(value) for name, value in notes.items()}
        if chosen is None:
            return cls(None, "float", processor_s, 0.0, 0.0, notes=words)
        return cls(
            chosen.folder,
            chosen.precision,
            processor_s,
            chosen.metric_loss,
            chosen.standard_error,
            chosen.plan,
            words,
        )


class Method(Protocol):
    """A whole flow. It has to end within `seconds` of processor time, all its processes included.

    `folder` is empty or holds what an interrupted attempt has left.
    """

    def __call__(
        self, problem: Problem, seed: int, seconds: float, folder: Path
    ) -> DeliveredModel: ...
