"""A branch: a part of a model that can be taken out whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# The axis of channels. Where it is another one, the survey's comparison with the mask excludes what
# depends on it.
CHANNELS = 1
CutKind = Literal["zeros", "sized_zeros", "nothing", "constant", "input"]
"""What a cut sublayer returns: one zero for all; zeros as large as its output was; no channels; a
constant; its own input."""


@dataclass(frozen=True)
class Branch:
    """A part of a model, and how it is taken out."""

    name: str
    """The sublayer whose output is cut."""
    layer: str
    """The same, without a number that makes the name unique."""
    kind: CutKind
    value: float
    """What a `constant` is."""
    tensor: str
    """The output that is cut, in the trace."""
    rank: int
    """Number of that output's axes."""
    axis: int
    """Of its channels."""
    steps: tuple[int, ...]
    """Of the axes of its input, which of whose places its output has: every one, every second."""
    passed: Mapping[str, tuple[int, ...]]
    """Other sublayers that are superfluous without it, outermost only, with their steps."""
    weights: tuple[str, ...]
    """All parameters and buffers that go with it."""
    operators: frozenset[int]
    """The superfluous operators of the trace."""
    groups: tuple[str, ...] = ()
    """Groups whose channels are all gone with it: those that a concatenation lacks then."""
    inside: tuple[str, ...] = ()
    """The branches in which it lies."""


def steps_between(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...] | None:
    """Return the steps that leave as many places of each axis as a layer does, 1 for samples and
    channels; None if there are none."""
    if len(before) != len(after):
        return None
    steps = []
    for axis, (one, other) in enumerate(zip(before, after, strict=True)):
        step = 1 if axis <= CHANNELS else max(1, round(one / max(1, other)))
        if axis > CHANNELS and math.ceil(one / step) != other:
            return None
        steps.append(step)
    return tuple(steps)
