"""How plans become the few numbers that Optuna samples, and numbers plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from spaces.plan import Plan
from spaces.space import Parameter, Space, Value


@dataclass(frozen=True)
class Known:
    """A finished trial of full fidelity."""

    plan: Plan
    metric_loss: float
    latency_ratio: float


class Encoding(Protocol):
    """What the searcher samples in. It may learn from finished trials, so the same numbers
    need not give the same plan later, and its numbers need not reach every plan of the space."""

    @property
    def space(self) -> Space: ...

    def parameters(self) -> Mapping[str, Parameter]:
        """Return the numbers and choices that make a plan."""
        ...

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the plan of these numbers."""
        ...

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return numbers whose plan is this one, or near to it."""
        ...

    def learn(self, known: Sequence[Known]) -> None:
        """Take in trials that have finished since the last call."""
        ...

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return an untried plan that is better than sampling, None if there is none."""
        ...


@dataclass(frozen=True)
class LayerEncoding:
    """Every group's channels are a number of their own: the whole space, nothing assumed."""

    space: Space

    def parameters(self) -> Mapping[str, Parameter]:
        return self.space.parameters()

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        return self.space.decode(flat)

    def encode(self, plan: Plan) -> dict[str, Value]:
        return self.space.encode(plan)

    def learn(self, known: Sequence[Known]) -> None:
        """Nothing: there is nothing to fit."""

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return None: all is left to the sampler."""
        return None
