"""What the planner learns from."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.plan import Plan


@dataclass(frozen=True)
class Known:
    """A plan that has been measured, at the highest fidelity so far."""

    plan: Plan
    metric_loss: float
    latency_ratio: float
    fidelity: float = 1.0
    """Share of the full training that the measured model had."""
    standard_error: float = 0.0
    """Of `metric_loss`, from the sampling of the validation split."""
    size_ratio: float | None = None
    """Bytes of the export, relative to the unpruned model's; None if not measured."""
    multiply_adds: float | None = None
    """Share of the unpruned model's multiply-adds that remains; None if no layers are known."""
