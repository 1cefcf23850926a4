"""The search space of a study, from its baseline and its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

from search.config import RunConfig
from search.records.stage_files import Timings
from spaces.errors import ConfigError, RunFolderError, short
from spaces.mixing import Int8Costs
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from trainables.results import Baseline, Reference, Untimed


def searched_items(config: RunConfig, baseline: Baseline) -> tuple[PruningGroup, ...]:
    """Return the baseline's groups and, unless the settings say no, its branches."""
    return baseline.items if config.branches else baseline.groups


def build_space(config: RunConfig, baseline: Baseline) -> Space:
    """Return the baseline's groups and branches, and those of the requested choices that this
    engine offers."""
    offered = baseline.choices
    choices = tuple(c for c in offered if config.choices is None or c in config.choices)
    if not choices:
        raise ConfigError(
            f"choices {[choice.value for choice in config.choices or []]}: this machine's engine "
            f"offers only {', '.join(choice.value for choice in offered)}; give one of those"
        )
    return Space(searched_items(config, baseline), choices, config.alignment, config.max_ratio)


def timed(found: Sequence[Reference | Untimed]) -> tuple[Reference, ...]:
    """Return the references that could be timed."""
    return tuple(item for item in found if isinstance(item, Reference))


def reference_timings(baseline: Baseline, space: Space) -> Timings:
    """Return the latency ratios that are known from the references."""
    found: Timings = [(item.plan, item.latency_ratio) for item in baseline.references]
    if QuantizationChoice.FLOAT in space.choices:
        found.append((Plan(), 1.0))
    return found


def drop_untimed(space: Space, found: Sequence[Reference | Untimed]) -> Space:
    """Return the space without the choices in which no reference could be timed.

    Their trials would fail as the references did. Float stays: the baseline is float.
    """
    tried, able = ({item.plan.quantization for item in items} for items in (found, timed(found)))
    untimed = tried - able - {QuantizationChoice.FLOAT}
    kept = tuple(choice for choice in space.choices if choice.timed_as not in untimed)
    return replace(space, choices=kept)


def with_mixtures(space: Space, int8: Int8Costs | None, timings: Timings) -> Space:
    """Return the space with INT8 models that have some layers in float, if what INT8 costs is
    known."""
    if int8 is None:
        return space
    others = [
        ratio
        for plan, ratio in timings
        if not plan.is_pruned and plan.quantization.precision != "int8"
    ]
    return replace(space, mixed=int8.mixtures(min(others, default=inf)))


def check_mixtures(address: str, space: Space, tried: Iterable[Plan]) -> None:
    """Raise RunFolderError if a plan that was tried has layers in float, and the space has no such
    mixture: the run at `address` has lost what INT8 costs in each layer."""
    for plan in tried:
        if plan.float_layers and plan.precisions not in space.mixed:
            names = short(", ".join(plan.float_layers), 40)
            raise RunFolderError(
                f"run folder {address}: stages/layers.json is missing, or not that of its trials, "
                f"which have {names} in float; restore it"
            )
