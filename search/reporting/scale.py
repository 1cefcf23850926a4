"""What plans cost, in the unit of a figure's axis."""

from __future__ import annotations

from dataclasses import dataclass

from search.config import RunConfig
from search.reporting.advice import as_timed
from spaces.goal import NAMES
from trainables.results import Baseline


@dataclass(frozen=True)
class CostScale:
    """Converts ratios of what a run minimizes to the unit of an axis."""

    title: str
    """Of the axis."""
    whole: float
    """The unpruned model's, in the axis's unit."""
    text: str
    """The unpruned model's, in words."""
    bound: float | None
    """The run's bound on the quantity, in the axis's unit; None: there is none."""

    def at(self, ratio: float) -> float:
        """Return where a ratio to the unpruned model's is on the axis."""
        return ratio * self.whole

    @classmethod
    def of(cls, config: RunConfig, baseline: Baseline) -> CostScale:
        """Return the scale of what a run minimizes."""
        if config.objective == "size":
            size, most = baseline.size_bytes / 1e6, config.max_size_bytes
            bound = None if most is None else most / 1e6
            return cls("size, MB", size, f"{size:.3g} MB", bound)
        if config.objective == "multiply_adds":
            million = sum(layer.multiply_adds for layer in baseline.layers) / 1e6
            text = f"{million:,.1f} million multiply-adds"
            return cls("multiply-adds of a sample, million", million, text, None)
        timed = as_timed(config.latency_batch, config.threads)
        pace = baseline.latency_ms
        return cls(f"latency, ms at {timed}", pace, f"{pace:.2f} ms", config.max_latency_ms)


def bounds_text(config: RunConfig) -> str:
    """Return the bounds of a run beside its budget, in words; "" if there are none."""
    found = []
    if config.max_latency_ms is not None:
        found.append(f"latency at most {config.max_latency_ms:g} ms")
    if config.max_size_bytes is not None:
        found.append(f"size at most {config.max_size_bytes / 1e3:,.0f} kB")
    return ", ".join(found)


def goal_line(config: RunConfig) -> str | None:
    """Return a sentence with what a run minimizes and its bounds; None if it has no bounds and
    minimizes latency."""
    bounds = bounds_text(config)
    if config.objective == "latency" and not bounds:
        return None
    return f"Minimized: {NAMES[config.objective]}" + (f"; {bounds}." if bounds else ".")
