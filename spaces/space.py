"""The search space: from a plan to flat parameters and back, channels aligned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from spaces.plan import Plan, PruningGroup, QuantizationChoice

QUANTIZATION = "quantization"
CHANNELS = "channels/"

Value = int | float | str


@dataclass(frozen=True)
class IntegerParameter:
    """A whole number from `low` to `high`, both included, in steps of `step`."""

    low: int
    high: int
    step: int


@dataclass(frozen=True)
class RealParameter:
    """A number from `low` to `high`, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class CategoricalParameter:
    choices: tuple[str, ...]


Parameter = IntegerParameter | RealParameter | CategoricalParameter


@dataclass(frozen=True)
class Space:
    """Every plan that may be tried.

    A group keeps a multiple of `alignment` (and of its own unit) channels, or all it has: on
    vector hardware latency is a staircase, and a width between two steps costs as much as
    the next one up. At most `max_ratio` of a group is removed.
    """

    groups: tuple[PruningGroup, ...]
    choices: tuple[QuantizationChoice, ...] = tuple(QuantizationChoice)
    alignment: int = 8
    max_ratio: float = 0.9

    def _kept_range(self, group: PruningGroup) -> IntegerParameter:
        step = math.lcm(self.alignment, group.unit)
        high = math.ceil(group.channels / step) * step
        least = group.channels * (1 - self.max_ratio)
        low = max(1, math.ceil(round(least / step, 9))) * step
        return IntegerParameter(min(low, high), high, step)

    def parameters(self) -> dict[str, Parameter]:
        """Return the flat parameters: channels kept by each group, and the quantization."""
        flat: dict[str, Parameter] = {
            CHANNELS + group.name: self._kept_range(group) for group in self.groups
        }
        flat[QUANTIZATION] = CategoricalParameter(tuple(choice.value for choice in self.choices))
        return flat

    def levels(self, group: PruningGroup) -> list[int]:
        """Return the channel counts a group may keep, ascending, the last one all of them."""
        kept = self._kept_range(group)
        steps = range(kept.low, kept.high + 1, kept.step)
        return sorted({min(count, group.channels) for count in steps})

    def random(self, rng: Random) -> Plan:
        """Return a plan with every group's level and the quantization drawn evenly."""
        ratios = {
            group.name: 1 - rng.choice(self.levels(group)) / group.channels for group in self.groups
        }
        return Plan.of(ratios, rng.choice(self.choices))

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the plan of flat parameters."""
        ratios = {}
        for group in self.groups:
            kept = min(int(flat[CHANNELS + group.name]), group.channels)
            ratios[group.name] = 1 - kept / group.channels
        return Plan.of(ratios, QuantizationChoice(flat[QUANTIZATION]))

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return the flat parameters of a plan, each group at the level nearest to its ratio.

        A plan between two levels goes to the wider one, so that no group loses more
        than the plan says. `decode(encode(plan))` is the plan for every plan of the space.
        """
        flat: dict[str, Value] = {}
        ratios = dict(plan.ratios)
        for group in self.groups:
            kept = self._kept_range(group)
            wanted = group.channels * (1 - ratios.get(group.name, 0.0))
            # Plans keep ratios to six digits.
            steps = math.ceil((wanted - 1e-6 * group.channels) / kept.step)
            aligned = steps * kept.step
            flat[CHANNELS + group.name] = min(max(aligned, kept.low), kept.high)
        flat[QUANTIZATION] = plan.quantization.value
        return flat

    def snap(self, plan: Plan) -> Plan:
        """Return the plan of this space that is nearest, as `encode` says."""
        return self.decode(self.encode(plan))


def thinned(levels: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of the levels, spread evenly, the first and last among them."""
    if len(levels) <= count:
        return list(levels)
    picks = {round(i * (len(levels) - 1) / (count - 1)) for i in range(count)}
    return [levels[i] for i in sorted(picks)]
