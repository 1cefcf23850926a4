"""The program as layers would have it: biases in their layers, filters as they are used, and no
input that is not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from trainables.tasks.exported.program import ExportedProgram, Operation

# Operators that can hold a bias, with the slot of their output.
WITH_BIAS = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d"), "Output"),
    **dict.fromkeys(("conv2d_transpose", "depthwise_conv2d_transpose"), "Output"),
    **dict.fromkeys(("matmul", "matmul_v2", "mul"), "Out"),
}


def read_operations(
    operations: Iterable[Operation], outputs: Collection[str]
) -> tuple[Operation, ...]:
    """Return the operators that the outputs depend on."""
    read = set(outputs)
    found = []
    for op in reversed(tuple(operations)):
        written = [name for slot, name in _written(op)]
        if read & set(written):
            read -= set(written)
            read |= set(op.reads)
            found.append(op)
    return tuple(reversed(found))


def _written(op: Operation) -> list[tuple[str, str]]:
    """Return the outputs that layers give: a norm's statistics are its own."""
    norm = ("MeanOut", "VarianceOut", "SavedMean", "SavedVariance", "ReserveSpace", "Mean")
    hidden = ("XShape", "Mask") if op.type != "max_pool2d_with_index" else ()
    left_out = norm if op.type.endswith("norm") else hidden
    return [(s, name) for s, names in op.outputs.items() if s not in left_out for name in names]


def with_inputs_read(program: ExportedProgram, ends: Collection[str]) -> ExportedProgram:
    """Return the program without inputs that the tensors `ends` do not depend on.

    Of a detector that is ended at its maps these are the sizes that only its boxes need.
    """
    read = {name for op in read_operations(program.operations, ends) for name in op.reads}
    kept = tuple(fed for fed in program.inputs if fed.name in read)
    return replace(program, inputs=kept or program.inputs)


def with_whole_filters(program: ExportedProgram) -> ExportedProgram:
    """Return the program with filters that have the axes which an operator would give them.

    A convolution along one axis is exported as one over a map with a single row.
    """
    readers = Counter(name for op in program.operations for name in set(op.reads))
    readers.update(program.outputs)
    makers = {op.output(): op for op in program.operations if op.type in ("assign", "unsqueeze2")}
    weights, renamed = dict(program.weights), {}
    for name in {name for op in program.operations for name in op.inputs.get("Filter", ())}:
        source, chain = name, []
        while source in makers and readers[source] == 1:
            chain.append(makers[source])
            source = makers[source].inputs["X"][0]
        if chain and source in weights and readers[source] == 1:
            for op in reversed(chain):
                weights[source] = np.expand_dims(weights[source], tuple(op.get("axes") or ()))
            renamed[name] = source
    operations = tuple(
        replace(op, inputs={s: tuple(renamed.get(n, n) for n in ns) for s, ns in op.inputs.items()})
        for op in program.operations
    )
    shapes = {**program.shapes, **{name: array.shape for name, array in weights.items()}}
    return replace(program, operations=operations, weights=weights, shapes=shapes)


def with_biases(program: ExportedProgram) -> tuple[Operation, ...]:
    """Return the operators with each bias in its convolution's or matrix product's slot `Bias`.

    An export adds it by an operator of its own.
    """
    operations = list(program.operations)
    readers = Counter(name for op in operations for name in set(op.reads))
    readers.update(program.outputs)
    makers = {name: index for index, op in enumerate(operations) for _, name in _written(op)}
    for index, op in enumerate(program.operations):
        if op.type != "elementwise_add":
            continue
        into = op.input("X")
        at = makers.get(str(into))
        bias = _bias(program, op, operations, makers)
        if at is None or bias is None or readers[str(into)] != 1:
            continue
        maker = operations[at]
        slot = WITH_BIAS.get(maker.type)
        if slot is None or maker.input("Bias") is not None or not _fits(program, maker, op, bias):
            continue
        operations[at] = replace(
            maker,
            inputs={**maker.inputs, "Bias": (bias,)},
            outputs={**maker.outputs, slot: (op.output(),)},
        )
        operations[index] = replace(op, outputs={})
    return tuple(op for op in operations if op.outputs)


def _bias(
    program: ExportedProgram, op: Operation, operations: list[Operation], makers: dict[str, int]
) -> str | None:
    """Return the weight that is added, reshaped or not; None if it is no vector of weights."""
    name = op.input("Y")
    if name is not None and name not in program.weights and name in makers:
        maker = operations[makers[name]]
        name = maker.input("X") if maker.type in ("reshape2", "reshape") else None
    if name is None or name not in program.weights or program.weights[name].ndim != 1:
        return None
    return name


def _fits(program: ExportedProgram, maker: Operation, op: Operation, bias: str) -> bool:
    """Return whether the bias is added along the maker's channels, and the maker has a weight."""
    count = len(program.weights[bias])
    rank, added = len(program.shapes[op.output()]), program.shapes[op.inputs["Y"][0]]
    layout = str(maker.get("data_format", "NCHW"))
    is_matrix = maker.type in ("matmul", "matmul_v2", "mul")
    channels = rank - 1 if is_matrix or layout == "NHWC" else 1
    if len(added) == 1:
        axis = op.get("axis", -1)
        along = rank - 1 if axis == -1 else axis
    else:
        along = next((i for i, size in enumerate(added) if size != 1), channels)
        along += rank - len(added)
    weight = maker.input("Y" if is_matrix else "Filter")
    if weight not in program.weights or along != channels:
        return False
    shape = program.weights[str(weight)].shape
    if is_matrix:
        flipped = bool(maker.get("trans_y", maker.get("transpose_Y", False)))
        plain = not maker.get("trans_x", maker.get("transpose_X", False))
        plain = plain and maker.get("alpha", 1.0) == 1.0 and len(shape) == 2
        return plain and count == shape[0 if flipped else 1]
    outputs = shape[0] if "transpose" not in maker.type else shape[1] * maker.get("groups", 1)
    return bool(count == outputs)
