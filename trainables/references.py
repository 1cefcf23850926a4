"""Models of known latency, beside which all others are timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.plan import Plan


@dataclass(frozen=True)
class Reference:
    """The shape of a plan, exported untrained into the run folder."""

    plan: Plan
    latency_ratio: float
    """To the baseline, timed in turn with it and with all other references."""

    def to_json(self) -> dict[str, Any]:
        return {"plan": self.plan.to_json(), "latency_ratio": self.latency_ratio}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reference:
        return cls(Plan.from_json(value["plan"]), float(value["latency_ratio"]))
