"""What a rule is: it says what one kind of operator does to channels.

A rule is given an operator whose inputs have labels. It returns the labels of its outputs by
slot, and notes in the book which channels go together and which have to stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.compression.graph.labels import Axes, LabelBook, Labels
from trainables.compression.graph.tracing import Operator, Shape

Outputs = Mapping[str, Axes | list[Axes]]


@dataclass(frozen=True)
class Seen:
    """An operator, and what is known of its tensors."""

    operator: Operator
    axes: Mapping[str, Axes]
    shapes: Mapping[str, Shape]
    book: LabelBook

    def has(self, slot: str) -> bool:
        return bool(self.operator.inputs.get(slot))

    def into(self, slot: str, index: int = 0) -> Axes:
        return self.axes[self.operator.inputs[slot][index]]

    def all_into(self, slot: str) -> list[Axes]:
        return [self.axes[name] for name in self.operator.inputs[slot]]

    def shape_into(self, slot: str) -> Shape:
        return self.shapes[self.operator.inputs[slot][0]]

    def shape_out(self, slot: str = "Out") -> Shape:
        return self.shapes[self.operator.outputs[slot][0]]

    def attribute(self, name: str, default: object = None) -> object:
        return self.operator.attributes.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        value = self.attribute(name, default)
        assert isinstance(value, (int, np.integer))
        return int(value)

    def numbers(self, name: str) -> list[int]:
        value = self.attribute(name)
        return [int(v) for v in value] if isinstance(value, (list, tuple)) else []

    def keep(self, axes: Axes, reason: str) -> None:
        for labels in axes:
            self.book.keep(labels, reason)

    def bind(self, one: Labels | None, other: Labels | None, reason: str) -> Labels | None:
        """Bind two axes that are as long; if only one has labels, these have to stay."""
        if one is None or other is None:
            self.book.keep(one if other is None else other, reason)
            return None
        self.book.bind(one, other)
        return one


Rule = Callable[[Seen], Outputs]
RULES: dict[str, Rule] = {}


def rule(*types: str) -> Callable[[Rule], Rule]:
    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return enter


def alike(seen: Seen, parts: Sequence[Axes]) -> list[Labels | None]:
    """Bind tensors of one shape, place by place."""
    result: list[Labels | None] = []
    for labels in zip(*parts, strict=True):
        first = labels[0]
        for other in labels[1:]:
            first = seen.bind(first, other, "meets what has no channels there")
        result.append(first)
    return result


def kept_by(seen: Seen, reason: str) -> Outputs:
    """Keep every channel that goes in; nothing is known of what comes out."""
    for names in seen.operator.inputs.values():
        for name in names:
            seen.keep(seen.axes.get(name, ()), reason)
    return {}
