"""Branches: parts of a model that can be taken out whole, found in its trace.

A branch ends in a tensor that is added to others, concatenated with others, or scales another. With
zeros in its place (ones, for a scale; nothing, in a concatenation) all that computed it is
superfluous: the branch of a residual block (He et al., CVPR 2016), a squeeze-and-excitation (Hu et
al., CVPR 2018), a path of an inception or of a fusion of resolutions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from trainables.compression.graph.activations import CONSTANTS, through
from trainables.compression.graph.branch import CHANNELS, Branch, CutKind, steps_between
from trainables.compression.graph.flow import PRODUCTS, SUMS, Flow, read_by, written_by
from trainables.compression.graph.layers import WeightUse
from trainables.compression.graph.tracing import Call, Operator


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
        self._calls: dict[str, list[Call]] = {}
        self._returning: dict[str, list[Call]] = {}
        """The calls of sublayers that are called once and return one tensor, by that tensor."""
        for call in flow.trace.calls:
            self._calls.setdefault(call.layer, []).append(call)
        for calls in self._calls.values():
            if len(calls) == 1 and len(calls[0].outputs) == 1 and calls[0].inputs:
                self._returning.setdefault(calls[0].outputs[0], []).append(calls[0])
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

    def also_in(self, training: Flow, branches: Sequence[Branch]) -> tuple[Branch, ...]:
        """Return the branches that can be taken out of the trace of training too."""
        kept = []
        for branch in branches:
            if is_superfluous(branch, training):
                kept.append(branch)
            else:
                self.excluded.setdefault(branch.layer, "a part of it runs in training all the same")
        names = {branch.name for branch in kept}
        return tuple(
            replace(branch, inside=tuple(n for n in branch.inside if n in names)) for branch in kept
        )

    def _cost(self, operators: Collection[int]) -> int:
        return sum(use.multiply_adds for use in self._uses if use.operator in operators)

    def _parts(self, index: int) -> list[str]:
        """Return the tensors that a sum or a concatenation puts together, through sums of sums."""
        flow, found = self._flow, []
        operator = flow.operators[index]
        for name in read_by(operator):
            made = flow.producer.get(name)
            if made is None:
                found += [name] if name in flow.trace.feeds else []
            elif self._is_nested(operator, made, name):
                found += self._parts(made)
            else:
                found.append(name)
        return found

    def _is_nested(self, operator: Operator, made: int, name: str) -> bool:
        """Return whether a sum's part is a sum that nothing else reads."""
        flow = self._flow
        sums = operator.type in SUMS and flow.operators[made].type in SUMS
        return sums and len(flow.readers(name)) == 1

    def _roots(self) -> list[int]:
        """Return the sums and concatenations, those within a larger sum left out."""
        flow = self._flow
        merging = [i for i in sorted(flow.needed) if flow.operators[i].type in (*SUMS, "concat")]
        inner = set()
        for index in merging:
            for name in read_by(flow.operators[index]):
                made = flow.producer.get(name)
                if made is not None and self._is_nested(flow.operators[index], made, name):
                    inner.add(made)
        return [index for index in merging if index not in inner]

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
        for tensor in flow.sources(part):
            if tensor not in self._returning or tensor not in flow.producer:
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
            kind: CutKind = "sized_zeros" if spread.moved else "zeros"
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
        activations: list[Operator] = []
        tensor = scale
        while len(flow.readers(tensor)) == 1:
            if self._outermost(tensor, operators) is not None:
                for value in CONSTANTS:
                    if through(value, activations) == 1.0:
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
        for call in self._returning.get(tensor, ()):
            needed = [i for i in range(call.start, call.stop) if i in self._flow.needed]
            if (
                needed
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
        steps = steps_between(shapes[call.inputs[0]], shapes[cut.tensor])
        if cut.kind in ("sized_zeros", "nothing") and steps is None:
            self.excluded.setdefault(call.layer, "its output is larger than its input")
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
            len(shapes[cut.tensor]),
            CHANNELS,
            steps or (),
            passed,
            tuple(weight for weight in self._weights if weight.startswith(prefixes)),
            cut.operators,
        )

    def _passed(self, operators: frozenset[int], cut: str) -> dict[str, tuple[int, ...]]:
        """Return the outermost other sublayers all of whose calls are superfluous."""
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
        outermost = [n for n in names if not any(n.startswith(f"{other}.") for other in names)]
        return {name: self._steps_of(self._calls[name][0]) for name in sorted(outermost)}

    def _steps_of(self, call: Call) -> tuple[int, ...]:
        shapes = self._flow.trace.shapes
        if not call.outputs:
            return ()
        return steps_between(shapes[call.inputs[0]], shapes[call.outputs[0]]) or ()


def is_superfluous(branch: Branch, flow: Flow) -> bool:
    """Return whether a branch can be taken out of another trace of the model too, as in training,
    where an auxiliary head may read what lies within it."""
    ends = [call for call in flow.trace.calls if call.layer == branch.layer]
    if len(ends) != 1 or len(ends[0].outputs) != 1:
        return False
    spread = flow.spread(ends[0].outputs[0])
    if branch.kind in ("input", "constant"):
        known = frozenset(ends[0].outputs)
    elif spread.reason is None:
        known = spread.zeros
    else:
        return False
    gone = flow.superfluous(known)
    return all(
        index in gone
        for call in flow.trace.calls
        if call.layer in branch.passed
        for index in range(call.start, call.stop)
        if index in flow.needed
    )
