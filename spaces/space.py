"""The search space: plans with aligned channels, and their flat parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from spaces.branches import canonical, enclosing
from spaces.plan import ON_CPU, MixedInt8, Plan, Precisions, PruningGroup, QuantizationChoice

QUANTIZATION = "quantization"
CHANNELS = "channels/"

# Greatest probability with which a random plan removes a branch. A guess: few models keep their
# metric without half of their branches.
MOST_REMOVED = 0.5

Value = int | float | str


@dataclass(frozen=True)
class IntegerParameter:
    """An integer from `low` to `high`, both included, in steps of `step`."""

    low: int
    high: int
    step: int


@dataclass(frozen=True)
class CategoricalParameter:
    choices: tuple[str, ...]


Parameter = IntegerParameter | CategoricalParameter


@dataclass(frozen=True)
class Space:
    """All plans that may be tried.

    The channels that remain of a group are a multiple of `alignment` and of the group's unit, or
    all: on vector hardware latency is a staircase, and a width between two steps takes as long as
    the wider step. At most `max_ratio` of a group is removed. A branch has 1 channel or 0, and the
    groups inside a removed branch count as unpruned.
    """

    groups: tuple[PruningGroup, ...]
    choices: tuple[QuantizationChoice, ...] = ON_CPU
    alignment: int = 8
    max_ratio: float = 0.9
    mixed: tuple[MixedInt8, ...] = ()
    """INT8 with some layers in float, each with another number of them."""

    @property
    def precisions(self) -> tuple[Precisions, ...]:
        """The choices, then the mixtures."""
        return (*self.choices, *self.mixed)

    @cached_property
    def _enclosing(self) -> dict[str, frozenset[str]]:
        return enclosing(self.groups)

    def _remaining(self, group: PruningGroup) -> IntegerParameter:
        if group.is_branch:
            return IntegerParameter(0, 1, 1)
        step = math.lcm(self.alignment, group.unit)
        high = math.ceil(group.channels / step) * step
        least = group.channels * (1 - self.max_ratio)
        low = max(1, math.ceil(round(least / step, 9))) * step
        return IntegerParameter(min(low, high), high, step)

    def parameters(self) -> dict[str, Parameter]:
        """Return the flat parameters: each group's remaining channels, and the quantization."""
        flat: dict[str, Parameter] = {
            CHANNELS + group.name: self._remaining(group) for group in self.groups
        }
        flat[QUANTIZATION] = CategoricalParameter(tuple(one.value for one in self.precisions))
        return flat

    def levels(self, group: PruningGroup) -> list[int]:
        """Return the channel counts a pruned group may have, ascending, its full count last.

        Of a branch they are 0 and 1.
        """
        counts = self._remaining(group)
        steps = range(counts.low, counts.high + 1, counts.step)
        return sorted({min(count, group.channels) for count in steps})

    def is_floor(self, plan: Plan) -> bool:
        """Return whether every group of a plan has the fewest channels that it may have.

        No branch is left, and every group that lies in none is as narrow as it may be.
        """
        least = dict(self.floor(plan.quantization).ratios)
        ratios = self._canonical(dict(plan.ratios))
        return all(
            round(group.channels * (1 - ratios.get(group.name, 0.0)))
            <= round(group.channels * (1 - least.get(group.name, 0.0)))
            for group in self.groups
        )

    def most_pruned(self, group: PruningGroup) -> float:
        """Return the greatest ratio of a group, 1 of a branch."""
        return 1 - self.levels(group)[0] / group.channels

    def floor(self, choice: Precisions) -> Plan:
        """Return the plan without any branch, and with the fewest channels in every group."""
        return self._plan({g.name: self.most_pruned(g) for g in self.groups}, choice)

    def random(self, rng: Random) -> Plan:
        """Return a plan drawn at random: every level of a group and all precisions equally likely.

        Branches are removed with a probability that is drawn for each plan, so that plans with few
        and with many removed are equally likely.
        """
        nested = any(group.is_branch for group in self.groups)
        removed = rng.uniform(0, MOST_REMOVED) if nested else 0.0
        ratios = {
            group.name: float(rng.random() < removed)
            if group.is_branch
            else 1 - rng.choice(self.levels(group)) / group.channels
            for group in self.groups
        }
        return self._plan(ratios, rng.choice(self.precisions))

    def _canonical(self, ratios: Mapping[str, float]) -> dict[str, float]:
        known = {name: ratio for name, ratio in ratios.items() if name in self._enclosing}
        return canonical(known, self._enclosing)

    def _plan(self, ratios: Mapping[str, float], choice: Precisions) -> Plan:
        return Plan.of(self._canonical(ratios), choice)

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the plan of flat parameters."""
        mixed: dict[Value, Precisions] = {one.value: one for one in self.mixed}
        named = flat[QUANTIZATION]
        return self._plan(self._ratios(flat), mixed.get(named) or QuantizationChoice(named))

    def _ratios(self, flat: Mapping[str, Value]) -> dict[str, float]:
        """Return the ratio of every group in flat parameters."""
        ratios = {}
        for group in self.groups:
            remaining = min(int(flat[CHANNELS + group.name]), group.channels)
            ratios[group.name] = 1 - remaining / group.channels
        return ratios

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return the flat parameters of a plan, its channels rounded up to a level of the space.

        Rounded up, so that no group loses more than the plan says. `decode(encode(plan))` equals
        the plan for every plan of the space. Raises ValueError for a ratio of 1 of a group that is
        no branch.
        """
        flat: dict[str, Value] = {}
        ratios = self._canonical(dict(plan.ratios))
        for group in self.groups:
            if ratios.get(group.name, 0.0) >= 1 and not group.is_branch:
                raise ValueError(f"ratio 1 of {group.name}: only a branch can be removed whole")
            counts = self._remaining(group)
            wanted = group.channels * (1 - ratios.get(group.name, 0.0))
            # The tolerance covers ratios, which are rounded to six digits.
            steps = math.ceil((wanted - 1e-6 * group.channels) / counts.step)
            aligned = steps * counts.step
            flat[CHANNELS + group.name] = min(max(aligned, counts.low), counts.high)
        flat[QUANTIZATION] = plan.precisions.value
        return flat

    def snap(self, plan: Plan) -> Plan:
        """Return the plan rounded to this space, as `encode` does."""
        return self._plan(self._ratios(self.encode(plan)), plan.precisions)


def thinned(levels: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of the levels, evenly spaced, with the first and the last."""
    if len(levels) <= count:
        return list(levels)
    picks = {round(i * (len(levels) - 1) / (count - 1)) for i in range(count)}
    return [levels[i] for i in sorted(picks)]
