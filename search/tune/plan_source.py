"""Where the plans of a study come from, and which of them come first."""

from __future__ import annotations

from collections.abc import Sequence

from search.config import RunConfig
from spaces.heuristics import Sensitivities, warm_starts
from spaces.layers import Layer
from spaces.plan import Plan
from spaces.planning.encoding import Encoding, LayerEncoding
from spaces.planning.planner import Planner
from spaces.space import Space

Timings = Sequence[tuple[Plan, float]]


def is_planned(config: RunConfig, space: Space) -> bool:
    """Return whether a planner chooses plans; it needs latencies to predict all others from."""
    return config.sampler == "knapsack" and bool(space.groups)


def plan_source(
    config: RunConfig,
    space: Space,
    layers: Sequence[Layer],
    sensitivities: Sensitivities,
    timings: Timings | None,
) -> tuple[Encoding, Sequence[Plan]]:
    """Return where plans come from, and those to begin with. Without timings Optuna chooses."""
    if timings is None:
        return LayerEncoding(space), warm_starts(space, sensitivities, config.budget)
    planner = Planner(space, layers, sensitivities, timings, config.budget)
    return planner, planner.warm_starts()
