"""Branches: parts of a model that can be taken out whole, found in its trace.

A branch ends in a tensor that is added to others, concatenated with others, or scales another. With
zeros in its place (ones, for a scale; nothing, in a concatenation) all that computed it is
superfluous: the branch of a residual block (He et al., CVPR 2016), a squeeze-and-excitation (Hu et
al., CVPR 2018), a path of an inception or of a fusion of resolutions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from trainables.compression.graph.branch import Branch, CutKind
from trainables.compression.graph.flow import PRODUCTS, SUMS, Flow, read_by, written_by
from trainables.compression.graph.layers import WeightUse
from trainables.compression.graph.tracing import Call, Operator

# Values tried as what a scale's last layer returns, so that the scale is 1: the first without an
# activation, the others for sigmoids, which are 1 in float32 from 17 on.
CONSTANTS = (1.0, 3.0, 20.0)


@dataclass(frozen=True)
class _Cut:
    """A tensor that may be cut, before its sublayer is known."""

    tensor: str
    kind: CutKind
    value: float
    operators: frozenset[int]
    zeros: frozenset[str]
    given: str | None = None
    """What the cut sublayer returns instead, where it returns its input."""


class BranchFinder:
    """Finds the branches of one traced model."""

    def __init__(self, flow: Flow, uses: Sequence[WeightUse], weights: Collection[str]) -> None:
        self._flow = flow
        self._uses = uses
        self._weights = weights
        calls: dict[str, list[Call]] = {}
        for call in flow.trace.calls:
            calls.setdefault(call.layer, []).append(call)
        self._calls = calls
        self.excluded: dict[str, str] = {}
        """Why a sublayer that ends a branch cannot be cut."""

    def find(self) -> tuple[Branch, ...]:
        """Return the branches, in the order in which the model runs them."""
        cuts = self._without_the_last_part(self._of_merges())
        found: list[Branch] = []
        for cut in sorted([*cuts, *self._of_scales()], key=lambda cut: min(cut.operators)):
            branch = self._named(cut, [b.layer for b in found])
            if branch is not None:
                found.append(branch)
        return tuple(
            replace(
                branch,
                inside=tuple(
                    other.name
                    for other in found
                    if other is not branch and branch.operators < other.operators
                ),
            )
            for branch in found
        )

    def _cost(self, operators: Collection[int]) -> int:
        return sum(use.multiply_adds for use in self._uses if use.operator in operators)

    def _parts(self, index: int) -> list[str]:
        """Return the tensors that a sum or a concatenation puts together, through sums of sums."""
        flow, found = self._flow, []
        operator = flow.operators[index]
        for name in read_by(operator):
            made = flow.producer.get(name)
            nested = made is not None and operator.type in SUMS
            if nested and flow.operators[made].type in SUMS and len(flow.readers(name)) == 1:
                found += self._parts(made)
            elif made is not None or name in flow.trace.feeds:
                found.append(name)
        return found

    def _roots(self) -> list[int]:
        """Return the sums and concatenations, those within a larger sum left out."""
        flow = self._flow
        merging = [i for i in sorted(flow.needed) if flow.operators[i].type in (*SUMS, "concat")]
        inner = set()
        for index in merging:
            if flow.operators[index].type in SUMS:
                for name in read_by(flow.operators[index]):
                    made = flow.producer.get(name)
                    if made is not None and len(flow.readers(name)) == 1:
                        inner.add(made)
        return [i for i in merging if i not in inner or flow.operators[i].type == "concat"]

    def _of_merges(self) -> list[_Cut]:
        """Return the tensors that only sums or only concatenations read, in the end."""
        cuts: dict[str, _Cut] = {}
        for root in self._roots():
            for part in self._parts(root):
                cut = self._cut_of(part)
                if cut is not None:
                    cuts.setdefault(cut.tensor, cut)
        return list(cuts.values())

    def _cut_of(self, part: str) -> _Cut | None:
        flow = self._flow
        made = {call.outputs[0] for calls in self._calls.values() for call in calls if call.outputs}
        for tensor in flow.sources(part):
            if tensor not in made or tensor not in flow.producer:
                continue
            spread = flow.spread(tensor)
            operators = flow.superfluous(spread.zeros)
            if not self._cost(operators):
                return None
            kinds = {flow.operators[index].type == "concat" for index in spread.merges}
            reason = spread.reason
            if reason is None and len(kinds) != 1:
                reason = "is both added to others and concatenated with them"
            if reason is None and not flow.depends_on_input(spread.zeros):
                reason = "without it the model's outputs do not depend on its inputs"
            if reason is not None:
                if not reason.startswith("is read by"):
                    self._exclude(tensor, reason)
                return None
            kind: CutKind = "same_size_zeros" if spread.moved else "zeros"
            if True in kinds:
                kind = "nothing"
            return _Cut(tensor, kind, 0.0, operators, spread.zeros)
        return None

    def _exclude(self, tensor: str, reason: str) -> None:
        call = self._outermost(tensor, self._flow.needed)
        if call is not None:
            self.excluded.setdefault(call.layer, reason)

    def _without_the_last_part(self, cuts: list[_Cut]) -> list[_Cut]:
        """Leave out one cut of every sum and concatenation of which nothing would remain: the
        cheapest, such as a shortcut with a convolution."""
        for root in self._roots():
            parts = self._parts(root)
            cutting = [cut for cut in cuts if cut.zeros & set(parts)]
            if cutting and all(any(part in cut.zeros for cut in cutting) for part in parts):
                least = min(cutting, key=lambda cut: self._cost(cut.operators))
                cuts = [cut for cut in cuts if cut is not least]
                self._exclude(least.tensor, "a part of its sum or concatenation has to stay")
        return cuts

    def _of_scales(self) -> list[_Cut]:
        """Return the tensors that scale what they are computed from."""
        flow, found = self._flow, []
        for index in sorted(flow.needed):
            operator = flow.operators[index]
            if operator.type not in PRODUCTS:
                continue
            for kept, scale in (read_by(operator), read_by(operator)[::-1]):
                operators = flow.superfluous(ignored=(index, scale))
                if not self._cost(operators) or not flow.precedes(kept, scale):
                    continue
                cut = self._whole_scale(index, kept, operators) or self._constant_scale(
                    index, scale, operators
                )
                if cut is not None:
                    found.append(cut)
                break
        return found

    def _whole_scale(self, index: int, kept: str, operators: frozenset[int]) -> _Cut | None:
        """Return the cut of a sublayer that takes what is scaled, and returns it scaled."""
        (out,) = written_by(self._flow.operators[index])
        call = self._outermost(out, operators | {index}, kept)
        if call is None:
            return None
        return _Cut(out, "input", 0.0, operators | {index}, frozenset(), kept)

    def _constant_scale(self, index: int, scale: str, operators: frozenset[int]) -> _Cut | None:
        """Return the cut of the last sublayer of a scale, None if it has none of its own."""
        flow = self._flow
        made = {call.outputs[0] for calls in self._calls.values() for call in calls if call.outputs}
        activations: list[Operator] = []
        tensor = scale
        while len(flow.readers(tensor)) == 1:
            if tensor in made and self._outermost(tensor, operators) is not None:
                for value in CONSTANTS:
                    if _through(value, activations) == 1.0:
                        return _Cut(tensor, "constant", value, operators, frozenset())
            made_by = flow.producer.get(tensor)
            if made_by is None or not flow.operators[made_by].inputs.get("X"):
                return None
            activations.insert(0, flow.operators[made_by])
            tensor = flow.operators[made_by].inputs["X"][0]
        return None

    def _outermost(
        self, tensor: str, operators: Collection[int], given: str | None = None
    ) -> Call | None:
        """Return the outermost call that returns a tensor and needs only these operators.

        Its sublayer is called once, and its first input is `given`, if that is not None.
        """
        best: Call | None = None
        for calls in self._calls.values():
            call = calls[0]
            needed = [i for i in range(call.start, call.stop) if i in self._flow.needed]
            if (
                len(calls) == 1
                and call.outputs == (tensor,)
                and call.inputs
                and needed
                and all(i in operators for i in needed)
                and (given is None or call.inputs[0] == given)
                and (best is None or call.stop - call.start > best.stop - best.start)
            ):
                best = call
        return best

    def _named(self, cut: _Cut, taken: Sequence[str]) -> Branch | None:
        call = self._outermost(cut.tensor, cut.operators, cut.given)
        if call is None:
            return None
        shapes = self._flow.trace.shapes
        before, after = shapes[call.inputs[0]], shapes[cut.tensor]
        different = [i for i, (one, other) in enumerate(zip(before, after)) if one != other]
        if cut.kind in ("same_size_zeros", "nothing") and (
            len(before) != len(after) or len(different) > 1
        ):
            self.excluded.setdefault(call.layer, "its output has another size than its input")
            return None
        passed = self._passed(cut.operators, call.layer)
        prefixes = tuple(f"{layer}." for layer in (call.layer, *passed))
        count = sum(layer == call.layer for layer in taken)
        return Branch(
            call.layer if not count else f"{call.layer}#{count + 1}",
            call.layer,
            cut.kind,
            cut.value,
            cut.tensor,
            len(after),
            different[0] if different else 1,
            passed,
            tuple(weight for weight in self._weights if weight.startswith(prefixes)),
            cut.operators,
        )

    def _passed(self, operators: frozenset[int], cut: str) -> tuple[str, ...]:
        """Return the outermost sublayers all of whose calls are superfluous, but for the cut one."""
        flow = self._flow

        def needless(calls: Sequence[Call]) -> bool:
            ranges = [i for call in calls for i in range(call.start, call.stop)]
            needed = [i for i in ranges if i in flow.needed]
            return bool(needed) and all(i in operators for i in needed)

        names = [
            name
            for name, calls in self._calls.items()
            if needless(calls)
            and name != cut
            and not name.startswith(f"{cut}.")
            and not cut.startswith(f"{name}.")
            and all(call.inputs for call in calls)
        ]
        return tuple(
            sorted(n for n in names if not any(n.startswith(f"{other}.") for other in names))
        )


def _through(value: float, operators: Sequence[Operator]) -> float | None:
    """Return what activations make of a number; None if one is not known."""
    for operator in operators:
        attributes: Mapping[str, float] = operator.attributes
        match operator.type:
            case "sigmoid":
                value = 1.0 if value > 17 else 1 / (1 + math.exp(-value))
            case "hard_sigmoid":
                value = min(1.0, max(0.0, attributes["slope"] * value + attributes["offset"]))
            case "relu6":
                value = min(6.0, max(0.0, value))
            case "clip":
                value = min(attributes["max"], max(attributes["min"], value))
            case "scale":
                scale, bias = attributes["scale"], attributes["bias"]
                after = attributes.get("bias_after_scale", True)
                value = value * scale + bias if after else (value + bias) * scale
            case "tanh":
                value = math.tanh(value)
            case "relu" | "unsqueeze2" | "reshape2" | "squeeze2" | "assign" | "dropout":
                value = max(0.0, value) if operator.type == "relu" else value
            case _:
                return None
    # As float32 has it.
    return round(value, 6)
