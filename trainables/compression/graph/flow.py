"""How values flow through a traced model: what a tensor of zeros makes superfluous."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from trainables.compression.graph.tracing import Operator, Trace

# Operators of one tensor that make zeros of zeros; some move them.
KEEPING = frozenset(
    [
        *("relu", "relu6", "tanh", "hard_swish", "hardswish", "leaky_relu", "swish", "silu"),
        *("gelu", "mish", "elu", "selu", "abs", "square", "sqrt", "dropout", "assign", "cast"),
        *("share_data", "prelu"),
    ]
)
MOVING = frozenset(
    [
        *("pool2d", "pool3d", "nearest_interp_v2", "bilinear_interp_v2", "bicubic_interp_v2"),
        *("linear_interp_v2", "trilinear_interp_v2", "transpose2", "transpose", "reshape2"),
        *("reshape", "flatten_contiguous_range", "flatten2", "squeeze2", "unsqueeze2"),
        *("pixel_shuffle", "slice", "strided_slice"),
    ]
)
SUMS = ("elementwise_add", "sum")
PRODUCTS = ("elementwise_mul",)


@dataclass(frozen=True)
class Spread:
    """Where zeros in one tensor lead to."""

    zeros: frozenset[str]
    """The tensors that are then zero too, the first one included."""
    merges: tuple[int, ...]
    """The sums and concatenations in which they end, ascending."""
    moved: bool
    """Whether they are resized or rearranged on the way."""
    reason: str | None
    """Why the tensor cannot be left out; None if it can."""


class Flow:
    """The operators of a trace, and which of them its outputs need."""

    def __init__(self, traced: Trace) -> None:
        self.trace = traced
        self.operators = traced.operators
        self.producer: dict[str, int] = {}
        self._readers: dict[str, list[int]] = {}
        for index, operator in enumerate(self.operators):
            for name in read_by(operator):
                self._readers.setdefault(name, []).append(index)
            for name in written_by(operator):
                if name not in traced.weights:
                    self.producer.setdefault(name, index)
        self._ends = {*traced.outputs, *traced.nested}
        self.needed = self.reach()

    def readers(self, tensor: str) -> list[int]:
        """Return the operators that read a tensor and that the outputs need, ascending."""
        return [index for index in self._readers.get(tensor, ()) if index in self.needed]

    def reach(
        self, known: Collection[str] = (), ignored: tuple[int, str] | None = None
    ) -> frozenset[int]:
        """Return the operators that the outputs need.

        Tensors in `known` need not be computed; nor what one operator reads from one tensor, if
        that pair is `ignored`.
        """
        found: set[int] = set()
        waiting = [name for name in self._ends if name not in known]
        while waiting:
            index = self.producer.get(waiting.pop())
            if index is None or index in found:
                continue
            found.add(index)
            waiting += [
                name
                for name in read_by(self.operators[index])
                if name not in known and (index, name) != ignored
            ]
        return frozenset(found)

    def superfluous(
        self, known: Collection[str] = (), ignored: tuple[int, str] | None = None
    ) -> frozenset[int]:
        """Return the operators that are no longer needed; the arguments are those of `reach`."""
        return self.needed - self.reach(known, ignored)

    def depends_on_input(self, known: Collection[str]) -> bool:
        """Return whether every output that depends on the model's inputs still does."""
        before, after = self._fed(()), self._fed(known)
        return all(name in after for name in self.trace.outputs if name in before)

    def _fed(self, known: Collection[str]) -> set[str]:
        fed = set(self.trace.feeds) - set(known)
        for operator in self.operators:
            if any(name in fed for name in read_by(operator)):
                fed |= set(written_by(operator)) - set(known)
        return fed

    def precedes(self, tensor: str, other: str) -> bool:
        """Return whether `other` is computed from `tensor`."""
        waiting, seen = [other], set()
        while waiting:
            name = waiting.pop()
            if name == tensor:
                return True
            index = self.producer.get(name)
            if index is not None and index not in seen:
                seen.add(index)
                waiting += read_by(self.operators[index])
        return False

    def spread(self, tensor: str) -> Spread:
        """Return where zeros in a tensor lead to."""
        zeros, merges, moved = {tensor}, set(), False
        waiting = self.readers(tensor)
        heapq.heapify(waiting)
        done: set[int] = set()
        reason = None
        while waiting and reason is None:
            index = heapq.heappop(waiting)
            if index in done:
                continue
            done.add(index)
            operator = self.operators[index]
            ends, reason = self._of_zeros(operator, zeros)
            if ends:
                if operator.type in (*SUMS, "concat"):
                    merges.add(index)
                continue
            moved |= operator.type in MOVING
            for name in written_by(operator):
                zeros.add(name)
                for reader in self.readers(name):
                    heapq.heappush(waiting, reader)
        if reason is None and zeros & self._ends:
            reason = "is an output of the model"
        return Spread(frozenset(zeros), tuple(sorted(merges)), moved, reason)

    def _of_zeros(self, operator: Operator, zeros: Collection[str]) -> tuple[bool, str | None]:
        """Return whether zeros end in this operator, and why they cannot be left out there."""
        kind = operator.type
        data = _data(operator)
        others = [name for name in data if name not in zeros]
        if kind == "shape":
            return True, None
        if kind in SUMS or kind == "concat":
            if not others:
                return False, None
            shapes = self.trace.shapes
            out = shapes[written_by(operator)[0]]
            if kind in SUMS and any(shapes[name] != out for name in others[:1]):
                return True, "what it is added to is smaller"
            return True, None
        if kind in PRODUCTS or (kind == "elementwise_div" and data[:1] != others[:1]):
            return False, None
        if data and data[0] in zeros:
            if kind in KEEPING or kind in MOVING:
                return False, None
            if kind == "scale" and not operator.attributes.get("bias", 0.0):
                return False, None
        return True, f"is read by {kind}"

    def sources(self, tensor: str) -> Iterator[str]:
        """Yield a tensor, then those that it is made of by operators that make zeros of zeros."""
        yield tensor
        while (index := self.producer.get(tensor)) is not None:
            operator = self.operators[index]
            data = [name for name in _data(operator) if name not in self.trace.weights]
            kept = operator.type in KEEPING or operator.type in MOVING
            if len(data) != 1 or not (kept or operator.type in ("scale", *PRODUCTS)):
                return
            tensor = data[0]
            yield tensor


def read_by(operator: Operator) -> list[str]:
    """Return the names of the tensors that an operator reads."""
    return [name for names in operator.inputs.values() for name in names]


def written_by(operator: Operator) -> list[str]:
    """Return the names of the tensors that an operator writes."""
    return [name for names in operator.outputs.values() for name in names]


def _data(operator: Operator) -> list[str]:
    """Return the tensors that an operator computes with, without those that only give sizes."""
    slots = ("X", "Y", "Input", "Alpha")
    return [name for slot in slots for name in operator.inputs.get(slot, ())]
