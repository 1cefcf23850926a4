"""Labels propagated through the operators of a model's traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainables.compression.graph import layout, operators  # noqa: F401  registers the rules
from trainables.compression.graph.labels import Axes, LabelBook, Labels
from trainables.compression.graph.layers import WeightUse, weight_use
from trainables.compression.graph.rules import RULES, LabelledOperator, exclude_inputs
from trainables.compression.graph.tracing import Operator, Trace

IS_OUTPUT = "is an output of the model"


class Propagation:
    """Propagates labels through operators. All traces of a model share its weights' labels."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.book = LabelBook()
        self.weights: dict[str, tuple[Labels, ...]] = {
            name: tuple(self.book.new(size) for size in shape) for name, shape in shapes.items()
        }
        self._owner = {
            int(label): (name, axis)
            for name, axes in self.weights.items()
            for axis, labels in enumerate(axes)
            for label in labels[:1]
        }
        self.producers: dict[tuple[str, int], int] = {}
        """Order of use of every (weight, axis) that produces channels."""
        self.used: set[str] = set()
        self.uses: list[WeightUse] = []
        """Every multiplication by a weight, in the order of the traces."""

    def propagate(self, traced: Trace) -> Mapping[str, Axes]:
        """Bind the labels of one trace; return those of its tensors."""
        axes: dict[str, Axes] = {
            name: (None,) * len(shape) for name, shape in traced.shapes.items()
        }
        for tensor, name in traced.weights.items():
            axes[tensor] = self.weights[name]
            self.used.add(name)
        # Tensors computed from weights and constants alone, with their first weight, if any.
        fixed: dict[str, str | None] = dict(traced.weights)
        for index, operator in enumerate(traced.operators):
            op = LabelledOperator(operator, axes, traced.shapes, self.book)
            _note_fixed(operator, fixed, traced.weights)
            use = weight_use(op, fixed, index)
            if use is not None:
                self.uses.append(use)
                self._note_producer(use.labels[0])
            elif operator.type == "lookup_table_v2":
                self._note_producer(op.input("W")[-1])
            elif operator.type == "rnn":
                for rows in op.inputs("WeightList"):
                    self._note_producer(rows[0])
            axes.update(_labels_out(op))
        for name in traced.outputs:
            for labels in axes[name]:
                self.book.exclude(labels, IS_OUTPUT)
        for tensor in traced.nested:
            for labels in axes.get(tensor, ()):
                self.book.exclude(labels, "is used inside control flow")
            weight = traced.weights.get(tensor)
            if weight is not None and len(self.weights[weight]) > 1:
                axis = 1 if len(self.weights[weight]) == 2 else 0
                self.producers.setdefault((weight, axis), len(self.producers))
        return axes

    def _note_producer(self, labels: Labels | None) -> None:
        """Note which weight and axis these output labels belong to.

        The multiplied tensor may be computed from the weight; its labels still identify it.
        """
        owner = self._owner.get(int(labels[0])) if labels is not None and len(labels) else None
        if owner is not None and len(self.weights[owner[0]]) > 1:
            self.producers.setdefault(owner, len(self.producers))


def _note_fixed(
    operator: Operator, fixed: dict[str, str | None], weights: Mapping[str, str]
) -> None:
    """Note which of an operator's outputs are computed from weights and constants alone."""
    read = [name for names in operator.inputs.values() for name in names]
    written = [name for names in operator.outputs.values() for name in names]
    if all(name in fixed for name in read):
        fixed |= dict.fromkeys(written, next((fixed[name] for name in read if fixed[name]), None))
    else:
        for name in written:
            # In training a norm updates its statistics in place: they are still weights.
            if name not in weights:
                fixed.pop(name, None)


def _labels_out(op: LabelledOperator) -> dict[str, Axes]:
    """Return the labels of an operator's outputs; operators without a rule give none."""
    operator = op.operator
    known = RULES.get(operator.type)
    read = [op.axes[name] for names in operator.inputs.values() for name in names]
    if all(labels is None for one in read for labels in one):
        return {}
    if known is None:
        exclude_inputs(op, f"read by {operator.type}, which has no rule")
        return {}
    found: dict[str, Axes] = {}
    try:
        for slot, result in known(op).items():
            several = result if isinstance(result, list) else [result]
            found |= zip(operator.outputs.get(slot, ()), several, strict=False)
        fits = all(_fit(labels, op.shapes[name]) for name, labels in found.items())
    except Exception:  # The rule does not expect this form of the operator.
        fits = False
    if not fits:
        # Only channels that this operator reads are excluded, not the rest of the model's.
        exclude_inputs(op, f"read by {operator.type} in a form its rule does not cover")
        return {}
    return found


def _fit(axes: Axes, shape: Sequence[int]) -> bool:
    """Return whether labels match a tensor's shape."""
    return len(axes) == len(shape) and all(
        labels is None or len(labels) == size for labels, size in zip(axes, shape, strict=True)
    )
