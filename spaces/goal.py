"""What a search minimizes, and the bounds that a delivered model keeps beside the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["latency", "size", "multiply_adds"]
"""What a plan costs, each as a ratio to the unpruned model's."""
NAMES: dict[Quantity, str] = {
    "latency": "latency",
    "size": "size",
    "multiply_adds": "multiply-adds",
}
"""In words."""
BETTER: dict[Quantity, str] = {
    "latency": "faster",
    "size": "smaller",
    "multiply_adds": "lighter",
}
"""Of a model that costs less, in words."""
BEST: dict[Quantity, str] = {
    "latency": "fastest",
    "size": "smallest",
    "multiply_adds": "lightest",
}
"""Of the model that costs least."""


@dataclass(frozen=True)
class Goal:
    """The quantity that is minimized, and bounds as ratios to the unpruned model's."""

    objective: Quantity = "latency"
    max_latency: float | None = None
    max_size: float | None = None
    baseline_bytes: int | None = None
    """Size of the unpruned model's export; sizes are ratios to it, and unknown without it."""

    def cost(self, latency: float | None, size: float | None, multiply_adds: float | None) -> float:
        """Return the one of a plan's ratios that is minimized.

        Infinite if it is unknown: such a plan promises nothing.
        """
        if self.objective == "latency":
            found = latency
        else:
            found = size if self.objective == "size" else multiply_adds
        return float("inf") if found is None else found

    def bounds(self) -> dict[Quantity, float]:
        """Return the greatest ratio of each quantity that has a bound."""
        given: dict[Quantity, float | None] = {"latency": self.max_latency, "size": self.max_size}
        return {quantity: bound for quantity, bound in given.items() if bound is not None}

    def exceeded(self, latency: float | None, size: float | None) -> Quantity | None:
        """Return the quantity whose bound measured ratios exceed; None if they keep both.

        What was not measured exceeds nothing.
        """
        if self.max_latency is not None and latency is not None and latency > self.max_latency:
            return "latency"
        if self.max_size is not None and size is not None and size > self.max_size:
            return "size"
        return None


LATENCY = Goal()
"""The default: the least latency, no bounds."""
