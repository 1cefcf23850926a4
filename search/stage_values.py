"""What stages leave in a run folder is JSON; this is what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.config import RunConfig
from spaces.errors import ConfigError
from spaces.heuristics import Sensitivities
from spaces.layers import Layer
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space

Timings = list[tuple[Plan, float]]


def build_space(config: RunConfig, baseline: Mapping[str, Any]) -> Space:
    """Return the search space: the groups found, and the choices asked for that exist here."""
    offered = [QuantizationChoice(choice) for choice in baseline["choices"]]
    choices = tuple(c for c in offered if config.choices is None or c in config.choices)
    if not choices:
        raise ConfigError(
            f"choices {[choice.value for choice in config.choices or []]}: this machine's engine "
            f"offers only {', '.join(choice.value for choice in offered)}; give one of those"
        )
    groups = tuple(
        PruningGroup(item["name"], item["channels"], tuple(item["members"]), item["unit"])
        for item in baseline["groups"]
    )
    return Space(groups, choices, config.alignment, config.max_ratio)


def those_timed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of models that could be timed; the others have a reason and no ratio."""
    return [row for row in rows if "reason" not in row]


def with_references(baseline: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the baseline with its `references`: those of the rows that could be timed."""
    return {**baseline, "references": those_timed(rows)}


def drop_untimed(space: Space, references: Sequence[dict[str, Any]]) -> Space:
    """Return the space without the choices in whose graph no reference could be timed.

    Their trials would fail as the references did. The float graph stays: the baseline is of it.
    """
    tried, timed = (
        {Plan.from_json(row["plan"]).quantization for row in rows}
        for rows in (references, those_timed(references))
    )
    untimed = tried - timed - {QuantizationChoice.FLOAT}
    kept = tuple(choice for choice in space.choices if choice.graph not in untimed)
    return replace(space, choices=kept)


def read_layers(baseline: Mapping[str, Any]) -> tuple[Layer, ...]:
    """Return what each layer of the model costs; none for a model whose layers are unknown."""
    return tuple(Layer(**item) for item in baseline.get("layers", ()))


def read_curves(left: Mapping[str, Sequence[Sequence[float]]]) -> Sensitivities:
    """Return every group's curve."""
    return {group: [(ratio, loss) for ratio, loss in curve] for group, curve in left.items()}


def read_timings(left: Sequence[Sequence[Any]]) -> Timings:
    """Return plans with their latency ratios."""
    return [(Plan.from_json(plan), ratio) for plan, ratio in left]
