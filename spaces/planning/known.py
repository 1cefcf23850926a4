"""What the planner learns from."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.plan import Plan


@dataclass(frozen=True)
class Known:
    """A finished trial of full fidelity."""

    plan: Plan
    metric_loss: float
    latency_ratio: float
