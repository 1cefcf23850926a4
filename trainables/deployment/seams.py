"""Seams between layers in float and quantized ones, in an exported program.

PaddleSlim puts a quantize and a dequantize step behind every operator, also around layers that stay
in float, as marks of the scale. Paddle computes nothing there; OpenVINO and ONNX Runtime do, so
that such a layer costs time and its values are rounded all the same (LOG: what each engine mixes).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from paddle.base.proto import framework_pb2

from trainables.deployment.layers import exported_layers
from trainables.deployment.program import ENDS, QUANTIZERS, stored_program


class _Flow:
    """Where a program's values come from and go to."""

    def __init__(self, block: framework_pb2.BlockDesc, quantized: dict[str, bool]) -> None:
        self._quantized = quantized
        """Whether a layer is, by the name of what it writes."""
        self._stored = {variable.name for variable in block.vars if variable.persistable}
        self.writer: dict[str, framework_pb2.OpDesc] = {}
        self.readers: dict[str, list[framework_pb2.OpDesc]] = defaultdict(list)
        for op in block.ops:
            for name in self.computed(op.outputs):
                self.writer[name] = op
            for name in self.computed(op.inputs):
                self.readers[name].append(op)

    def computed(self, slots: list[framework_pb2.OpDesc.Var]) -> list[str]:
        """Return the names in slots of an operator that are no weights."""
        return [n for slot in slots for n in slot.arguments if n not in self._stored]

    def is_quantized(self, op: framework_pb2.OpDesc) -> bool | None:
        """Return whether a layer is quantized, None for what is no layer."""
        found = [self._quantized[n] for n in self.computed(op.outputs) if n in self._quantized]
        return found[0] if found else None

    def nearest(self, name: str, *, forward: bool, joins: int = 0) -> set[bool]:
        """Return whether the layers are quantized that read a value, or wrote it, with no layer
        between and at most this number of operators with several inputs, such as sums."""
        found: set[bool] = set()
        waiting, seen = [(name, joins)], {name}
        while waiting:
            here, left = waiting.pop()
            for op in self.readers[here] if forward else [self.writer[here]]:
                layer = self.is_quantized(op)
                if layer is not None:
                    found.add(layer)
                    continue
                is_join = op.type not in QUANTIZERS and len(self.computed(op.inputs)) > 1
                if op.type not in ENDS and left - is_join >= 0:
                    names = self.computed(op.outputs if forward else op.inputs)
                    waiting += [(n, left - is_join) for n in names if n not in seen]
                    seen |= {*names}
        return found

    def is_needed(self, source: str, floats: str) -> bool:
        """Return whether a quantized layer needs the steps between two values: it reads the second,
        or the steps tell the engine in what scale to write. Engines fuse a sum with the convolution
        before it."""
        if any(self.is_quantized(reader) for reader in self.readers[floats]):
            return True
        if True in self.nearest(source, forward=False, joins=1):
            return True
        around = self.nearest(source, forward=False) | self.nearest(floats, forward=True)
        return False not in around


def drop_steps(folder: Path) -> None:
    """Rewrite a quantized model without the quantize steps next to layers in float, but for those
    that a quantized layer needs."""
    quantized = {layer.output: layer.is_quantized for layer in exported_layers(folder)}
    with stored_program(folder) as stored:
        block = stored.message.blocks[0]
        flow = _Flow(block, quantized)
        instead: dict[str, str] = {}
        for first in block.ops:
            sources = flow.computed(first.inputs)
            if first.type != QUANTIZERS[0] or not sources:
                continue
            (integers,) = flow.computed(first.outputs)
            for back in flow.readers[integers]:
                (floats,) = flow.computed(back.outputs)
                if not flow.is_needed(sources[0], floats):
                    instead[floats] = sources[0]
        for op in block.ops:
            for slot in op.inputs:
                slot.arguments[:] = [_last(instead, name) for name in slot.arguments]
        stored.write()


def _last(instead: dict[str, str], name: str) -> str:
    while name in instead:
        name = instead[name]
    return name
