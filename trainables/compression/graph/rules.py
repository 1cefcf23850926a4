"""The interface of a rule, which says what one type of operator does to channels.

A rule is given an operator with labelled inputs. It returns the labels of the outputs by slot, and
records in the label book which channels are bound together and which are excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.compression.graph.labels import Axes, LabelBook, Labels
from trainables.compression.graph.tracing import Operator, Shape

Outputs = Mapping[str, Axes | list[Axes]]


@dataclass(frozen=True)
class LabelledOperator:
    """An operator with the labels and shapes of its tensors."""

    operator: Operator
    axes: Mapping[str, Axes]
    shapes: Mapping[str, Shape]
    book: LabelBook

    @property
    def type(self) -> str:
        return self.operator.type

    def has_input(self, slot: str) -> bool:
        return bool(self.operator.inputs.get(slot))

    def input(self, slot: str, index: int = 0) -> Axes:
        return self.axes[self.operator.inputs[slot][index]]

    def inputs(self, slot: str) -> list[Axes]:
        return [self.axes[name] for name in self.operator.inputs[slot]]

    def input_shape(self, slot: str) -> Shape:
        return self.shapes[self.operator.inputs[slot][0]]

    def output_shape(self, slot: str = "Out") -> Shape:
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

    def exclude(self, axes: Axes, reason: str) -> None:
        for labels in axes:
            self.book.exclude(labels, reason)

    def bind(self, one: Labels | None, other: Labels | None, reason: str) -> Labels | None:
        """Bind two axes of equal length; if only one has labels, exclude those."""
        if one is None or other is None:
            self.book.exclude(one if other is None else other, reason)
            return None
        self.book.bind(one, other)
        return one


Rule = Callable[[LabelledOperator], Outputs]
RULES: dict[str, Rule] = {}


def rule(*types: str) -> Callable[[Rule], Rule]:
    """Register a rule for these types of operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return register


def bind_tensors(op: LabelledOperator, parts: Sequence[Axes]) -> list[Labels | None]:
    """Bind tensors of equal shape, index by index; return the labels of each axis."""
    result: list[Labels | None] = []
    for labels in zip(*parts, strict=True):
        first = labels[0]
        for other in labels[1:]:
            first = op.bind(first, other, "combined with a tensor without channels there")
        result.append(first)
    return result


def exclude_inputs(op: LabelledOperator, reason: str) -> Outputs:
    """Exclude every channel that the operator reads; its outputs get no labels."""
    for names in op.operator.inputs.values():
        for name in names:
            op.exclude(op.axes.get(name, ()), reason)
    return {}
