"""A branch: a part of a model that can be taken out whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
