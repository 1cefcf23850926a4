"""Exported programs: read from their folder, rewritten, and written again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from paddle.base.proto import framework_pb2

from trainables.compression.graph.modes import quietly
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE

# Operators at a program's inputs and outputs.
ENDS = ("feed", "fetch")
QUANTIZERS = ("quantize_linear", "dequantize_linear")
# Largest integer of a quantized value, which its Scale stands for.
INT8_MAX = 127


def path_prefix(folder: Path) -> str:
    """Make the folder; return the path without suffix that paddle's save functions take."""
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / MODEL_FILE.removesuffix(".pdmodel"))


@contextmanager
def own_scope() -> Iterator[paddle.static.Scope]:
    """A scope for the tensors of static programs, freed at the end."""
    scope = paddle.static.Scope()
    try:
        yield scope
    finally:
        # Paddle keeps every scope with its tensors until told otherwise.
        scope._remove_from_pool()


def write_weights(
    folder: Path,
    program: paddle.static.Program,
    executor: paddle.static.Executor,
    names: Collection[str] | None = None,
) -> None:
    """Write a program's weights, or those named, from the current scope into their file."""
    stored = [v for v in program.list_vars() if paddle.static.io.is_persistable(v)]
    stored = [v for v in stored if names is None or v.name in names]
    if not stored:
        (folder / WEIGHTS_FILE).write_bytes(b"")
        return
    # Not `serialize_persistables`, whose every return value stays in memory.
    paddle.static.save_vars(executor, str(folder), program, vars=stored, filename=WEIGHTS_FILE)


def read_program(folder: Path) -> paddle.static.Program:
    """Return an exported program without its weights. Paddle must be in static mode."""
    return paddle.static.Program.parse_from_string((folder / MODEL_FILE).read_bytes())


def read_ends(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of an exported program's inputs and outputs, in the model's order."""
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    found = []
    for kind in ENDS:
        named = {}
        for op in program.blocks[0].ops:
            if op.type == kind:
                column = next(a.i for a in op.attrs if a.name == "col")
                slots = op.outputs if kind == "feed" else op.inputs
                named[column] = slots[0].arguments[0]
        found.append([named[column] for column in sorted(named)])
    return found[0], found[1]


def read_input_shapes(folder: Path) -> list[tuple[int, ...]]:
    """Return the shapes of an exported program's inputs without the batch axis, in their order."""
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    stored = {var.name: var.type.dense_tensor.tensor.dims for var in program.blocks[0].vars}
    return [tuple(stored[name][1:]) for name in read_ends(folder)[0]]


def pools_unscaled_maps(folder: Path) -> bool:
    """Return whether an INT8 model quantizes a map's mean, but not the map that it is taken from.

    So do squeeze-and-excitations that were trained for INT8.
    """
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    ops = program.blocks[0].ops
    scaled = {
        name
        for op in ops
        if op.type in QUANTIZERS
        for slot in (*op.inputs, *op.outputs)
        for name in slot.arguments
    }
    return any(
        op.type == "pool2d"
        and any(a.name == "pooling_type" and a.s == "avg" for a in op.attrs)
        and op.outputs[0].arguments[0] in scaled
        and op.inputs[0].arguments[0] not in scaled
        for op in ops
    )


@dataclass(frozen=True)
class StoredProgram:
    """An exported program and its weights, loaded into a scope of their own."""

    folder: Path
    program: paddle.static.Program
    message: framework_pb2.ProgramDesc
    """The program as it is in its file, which is what is changed and written: Paddle would add a
    hundred bytes of default attributes to each operator."""
    executor: paddle.static.Executor
    scope: paddle.static.Scope

    def store(self, name: str, value: np.ndarray) -> None:
        """Make a tensor of the program a weight."""
        self.program.global_block().vars[name].persistable = True
        for variable in self.message.blocks[0].vars:
            if variable.name == name:
                variable.persistable = True
        tensor = self.scope.var(name).get_tensor()
        tensor.set(np.ascontiguousarray(value), paddle.CPUPlace())

    def write(self) -> None:
        """Write the folder again without operators and weights that no output depends on."""
        _remove_unread(self.message)
        (self.folder / MODEL_FILE).write_bytes(self.message.SerializeToString())
        names = {v.name for block in self.message.blocks for v in block.vars if v.persistable}
        write_weights(self.folder, self.program, self.executor, names)


@contextmanager
def stored_program(folder: Path) -> Iterator[StoredProgram]:
    """An exported program with its weights; Paddle is in static mode inside."""
    with own_scope() as scope, paddle.static.scope_guard(scope), quietly():
        paddle.enable_static()
        executor = paddle.static.Executor(paddle.CPUPlace())
        paddle.static.load_inference_model(path_prefix(folder), executor)
        message = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
        yield StoredProgram(folder, read_program(folder), message, executor, scope)


def flatten_scales(folder: Path) -> None:
    """Write an INT8 model's scales without axes again with one axis."""
    with stored_program(folder) as stored:
        names = {
            name
            for op in stored.message.blocks[0].ops
            if op.type in QUANTIZERS
            for slot in op.inputs
            if slot.parameter in ("Scale", "ZeroPoint")
            for name in slot.arguments
        }
        arrays = {name: np.asarray(stored.scope.find_var(name).get_tensor()) for name in names}
        scalars = {name: array for name, array in arrays.items() if array.ndim == 0}
        for name, array in scalars.items():
            stored.store(name, array.reshape(1))
        if scalars:
            stored.write()


@dataclass(frozen=True)
class IntegerProduct:
    """A matrix product of an INT8 model."""

    weight: np.ndarray
    """Integers, shape (inputs, outputs)."""
    weight_scale: np.ndarray
    """What an integer stands for, by output."""
    input_scale: float
    """What an integer of the input stands for."""


def integer_products(folder: Path) -> dict[str, IntegerProduct]:
    """Return the products with a quantized weight in an INT8 model, by the weight's name."""
    found = {}
    with stored_program(folder) as stored:
        ops = stored.message.blocks[0].ops
        writer = {name: op for op in ops for name in _names(op.outputs)}

        def array(op: framework_pb2.OpDesc, slot: str) -> np.ndarray:
            (name,) = next(s.arguments for s in op.inputs if s.parameter == slot)
            return np.array(stored.scope.find_var(name).get_tensor())

        for op in ops:
            if op.type != "matmul_v2" or any(a.b for a in op.attrs if a.name == "trans_y"):
                continue
            left, right = (writer.get(s.arguments[0]) for s in op.inputs)
            if left is None or right is None or {left.type, right.type} != {QUANTIZERS[1]}:
                continue
            (name,) = next(s.arguments for s in right.inputs if s.parameter == "X")
            if stored.scope.find_var(name) is not None:
                scales = (array(right, "Scale").reshape(-1), array(left, "Scale").item())
                found[name] = IntegerProduct(
                    array(right, "X"), scales[0] / INT8_MAX, scales[1] / INT8_MAX
                )
    return found


def _names(slots: Iterable[framework_pb2.OpDesc.Var]) -> set[str]:
    return {name for slot in slots for name in slot.arguments}


def _remove_unread(program: framework_pb2.ProgramDesc) -> None:
    block, *inner = program.blocks
    # Conditions and loops read and write variables of the global block by their names.
    named = {name for b in inner for op in b.ops for name in _names((*op.inputs, *op.outputs))}
    read = set(named)
    for index in reversed(range(len(block.ops))):
        op = block.ops[index]
        inputs, outputs = _names(op.inputs), _names(op.outputs)
        has_block = any(attribute.name == "sub_block" for attribute in op.attrs)
        if op.type in ENDS or has_block or read & outputs:
            read |= inputs
            named |= inputs | outputs
        else:
            del block.ops[index]
    for index in reversed(range(len(block.vars))):
        if block.vars[index].name not in named:
            del block.vars[index]
