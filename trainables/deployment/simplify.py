"""Operators of an exported program that change nothing, removed.

A removed branch leaves them: additions of zeros, products with ones, concatenations with an empty
tensor, and whatever computes those. Tensors are interpreted abstractly (Cousot and Cousot, 1977): a
tensor is known to have one value throughout, to be equal to another tensor, or is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import paddle
from paddle.base.framework import Operator
from paddle.base.proto import framework_pb2

from trainables.compression.graph.modes import quietly
from trainables.deployment.program import ENDS, StoredProgram, read_program, stored_program
from trainables.deployment.uniform import BINARY, MOVES, common_value, output_value

# Sizes of the batch and of other free axes when shapes are inferred, by axis. They are unlikely to
# be other sizes: a prime, and primes times 32, the largest stride of most networks.
FREE = (7919, 32 * 211, 32 * 223, 32 * 227, 32 * 229)
# The only type whose values are followed; exports have no other floats.
FLOAT = paddle.base.core.VarDesc.VarType.FP32
# The operand which leaves the other as it is: its value, and where it may stand.
NEUTRAL = {
    "elementwise_add": (0.0, "XY"),
    "elementwise_sub": (0.0, "Y"),
    "elementwise_mul": (1.0, "XY"),
    "elementwise_div": (1.0, "Y"),
}
# Activations, each with those whose outputs it leaves as they are.
RECTIFIERS = {"relu": ("relu", "relu6"), "relu6": ("relu6",)}


@dataclass
class _Edits:
    """What is changed in a program; operators by their index."""

    removed: set[int] = field(default_factory=set)
    inputs: dict[int, list[str]] = field(default_factory=dict)
    """The remaining tensors of input X."""
    scales: dict[int, tuple[str, float, float]] = field(default_factory=dict)
    """Operators replaced by scale * tensor + bias."""
    equal: dict[str, str] = field(default_factory=dict)
    """A tensor's name, and that of the tensor which is read in its place."""
    renamed: dict[str, str] = field(default_factory=dict)
    """New names, so that outputs of the program have the same names as before."""

    def __bool__(self) -> bool:
        return bool(self.removed or self.inputs or self.scales)

    def name(self, name: str) -> str:
        source = self.equal.get(name, name)
        return self.renamed.get(source, source)


class _Interpreter:
    """Goes through a program once, in order, and finds what can be changed."""

    def __init__(
        self, program: paddle.static.Program, constants: dict[str, float], shapes: _Shapes
    ) -> None:
        self.edits = _Edits()
        self._block = program.global_block()
        self._shapes = shapes
        self._values = dict(constants)
        self._rectified: dict[str, str] = {}
        """The activation whose range the tensor's values keep to."""
        writes = Counter(name for op in self._block.ops for name in op.output_arg_names)
        self._rewritten = {
            name
            for name, count in writes.items()
            if count > 1 or (name in self._block.vars and self._block.vars[name].persistable)
        }
        self._fetched = {
            name for op in self._block.ops if op.type == "fetch" for name in op.input_arg_names
        }
        self._fed = {
            name for op in self._block.ops if op.type == "feed" for name in op.output_arg_names
        }

    def run(self) -> _Edits:
        for index, op in enumerate(self._block.ops):
            if op.type in ENDS or self._rewritten & {*op.input_arg_names, *op.output_arg_names}:
                continue
            self._find_value(op)
            if op.type in NEUTRAL:
                self._binary(index, op)
            elif op.type == "sum":
                self._several(index, op, [n for n in op.input("X") if self._values.get(n) != 0.0])
            elif op.type == "concat" and not op.input("AxisTensor"):
                self._several(index, op, self._not_empty(op))
            else:
                self._rectify(index, op)
        return self.edits

    def _rectify(self, index: int, op: Operator) -> None:
        """Remove the activation after a removed sum whose only term had been through it already."""
        slot = {**MOVES, "pool2d": "X", **dict.fromkeys(RECTIFIERS, "X")}.get(op.type)
        if slot is None:
            return
        (name,), outputs = op.input(slot), op.output("Out")
        before = self._rectified.get(self.edits.equal.get(name, name))
        if op.type not in RECTIFIERS:
            if before is not None:
                self._rectified.update(dict.fromkeys(outputs, before))
        elif name not in self.edits.equal or before not in RECTIFIERS[op.type]:
            self._rectified[outputs[0]] = op.type
        else:
            self._make_equal(index, outputs[0], name)

    def _find_value(self, op: Operator) -> None:
        value = output_value(op, self._values)
        if value is None:
            return
        for slot in ("Out", "Output", "Y"):
            for name in op.output(slot) if slot in op.output_names else ():
                if self._block.var(name).dtype == FLOAT:
                    self._values[name] = value

    def _binary(self, index: int, op: Operator) -> None:
        (x,), (y,), (out,) = op.input("X"), op.input("Y"), op.output("Out")
        if out in self._values:
            return
        neutral, places = NEUTRAL[op.type]
        for place, constant, other in (("Y", y, x), ("X", x, y)):
            value = self._values.get(constant)
            if value is None or not self._shapes.same(other, out):
                continue
            if value == neutral and place in places:
                self._make_equal(index, out, other)
            elif places == "XY" and self._block.var(other).dtype == FLOAT:
                is_sum = op.type == "elementwise_add"
                self.edits.scales[index] = (other, *((1.0, value) if is_sum else (value, 0.0)))
            return

    def _several(self, index: int, op: Operator, kept: list[str]) -> None:
        (out,) = op.output("Out")
        if out in self._values or not kept or len(kept) == len(op.input("X")):
            return
        if op.type == "sum" and not all(self._shapes.same(name, out) for name in kept):
            return
        if len(kept) > 1 or not self._make_equal(index, out, kept[0]):
            self.edits.inputs[index] = kept

    def _not_empty(self, op: Operator) -> list[str]:
        axis = op.attr("axis")
        return [name for name in op.input("X") if not self._shapes.empty(name, axis)]

    def _make_equal(self, index: int, out: str, source: str) -> bool:
        """Let `source` be read in place of `out`, if shapes, types and names allow it."""
        edits, source = self.edits, self.edits.equal.get(source, source)
        is_same = self._shapes.same(source, out) and (
            self._block.var(source).dtype == self._block.var(out).dtype
        )
        if not is_same:
            return False
        if out in self._fetched:
            bound = self._fed | self._fetched | set(edits.renamed)
            if source in bound or self._block.var(source).persistable:
                return False
            edits.renamed[source] = out
        edits.equal[out] = source
        edits.removed.add(index)
        return True


class _Shapes:
    """Shapes of a program's tensors for inputs whose free sizes are those of FREE, inferred when
    first asked for."""

    def __init__(self, program: paddle.static.Program) -> None:
        self._program = program

    @cached_property
    def _block(self) -> paddle.static.Block:
        # A copy, so that the exported shapes stay as they are.
        copy = paddle.static.Program.parse_from_string(self._program.desc.serialize_to_string())
        block = copy.global_block()
        for op in block.ops:
            if op.type == "feed":
                for name in op.output("Out"):
                    sizes = enumerate(block.var(name).shape)
                    known = [FREE[at % len(FREE)] if size < 0 else size for at, size in sizes]
                    block.var(name).desc.set_shape(known)
            elif op.type != "fetch":
                # Each operator raises its own type. The exported shapes then stay.
                with suppress(Exception):
                    op.desc.infer_shape(block.desc)
        return block

    def same(self, name: str, other: str) -> bool:
        """Return whether two tensors are known to have the same shape."""
        shape = tuple(self._block.var(name).shape)
        return shape == tuple(self._block.var(other).shape) and min(shape, default=0) >= 0

    def empty(self, name: str, axis: int) -> bool:
        """Return whether a tensor has no elements along an axis."""
        shape = self._program.global_block().var(name).shape
        return -len(shape) <= axis < len(shape) and shape[axis] == 0


def _attribute(op: framework_pb2.OpDesc, name: str, value: float | bool) -> None:
    kinds = framework_pb2.AttrType
    if isinstance(value, bool):
        op.attrs.add(name=name, type=kinds.Value("BOOLEAN"), b=value)
    else:
        op.attrs.add(name=name, type=kinds.Value("FLOAT"), f=value)


def _make_scale(op: framework_pb2.OpDesc, name: str, scale: float, bias: float) -> None:
    """Turn a sum or product with a constant into scale * tensor + bias."""
    op.type = "scale"
    del op.inputs[:], op.attrs[:]
    op.inputs.add(parameter="X", arguments=[name])
    _attribute(op, "scale", scale)
    _attribute(op, "bias", bias)
    _attribute(op, "bias_after_scale", True)


def _apply(program: framework_pb2.ProgramDesc, edits: _Edits) -> None:
    ops = program.blocks[0].ops
    for index in reversed(range(len(ops))):
        op = ops[index]
        if index in edits.removed:
            del ops[index]
            continue
        if index in edits.scales:
            _make_scale(op, *edits.scales[index])
        for slot in op.inputs:
            if slot.parameter == "X" and index in edits.inputs:
                slot.arguments[:] = edits.inputs[index]
        for slot in (*op.inputs, *op.outputs):
            slot.arguments[:] = [edits.name(name) for name in slot.arguments]


def _read_by_sums(program: paddle.static.Program, parameters: Collection[str]) -> list[str]:
    """Return stored tensors, other than parameters, that are operands of sums and products."""
    block = program.global_block()
    read = {n for op in block.ops if op.type in (*BINARY, "sum") for n in op.input_arg_names}
    return [
        name
        for name in sorted(read - set(parameters))
        if block.var(name).persistable and block.var(name).dtype == FLOAT
    ]


def _stored_constants(stored: StoredProgram, names: Collection[str]) -> dict[str, float]:
    found = {
        name: common_value(np.asarray(stored.scope.find_var(name).get_tensor())) for name in names
    }
    return {name: value for name, value in found.items() if value is not None}


def simplify(folder: Path, parameters: Collection[str] = ()) -> bool:
    """Rewrite an exported model without operators that change nothing; return whether it had any.

    Outputs, their names and the inputs stay; a product with zero is zero, also of what is not
    finite. Programs with conditions or loops are left as they are.
    `parameters` names the weights that training changes: those are not taken for constants, as a
    model that is timed before its training must have the operators that it has afterwards.
    """
    with quietly():
        paddle.enable_static()
        program = read_program(folder)
        if len(program.blocks) > 1:
            return False
        names = _read_by_sums(program, parameters)
        edits = _Edits() if names else _Interpreter(program, {}, _Shapes(program)).run()
    if not names and not edits:
        return False
    with stored_program(folder) as stored:
        if names:
            constants = _stored_constants(stored, names)
            edits = _Interpreter(stored.program, constants, _Shapes(stored.program)).run()
            if not edits:
                return False
        _apply(stored.message, edits)
        stored.write()
    return True
