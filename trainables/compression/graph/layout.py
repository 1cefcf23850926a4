"""Rules of operators that only rearrange values: concat, split, slice, reshape, tile."""

from __future__ import annotations

import numpy as np

from trainables.compression.graph.labels import Labels, reshape_labels
from trainables.compression.graph.rules import (
    LabelledOperator,
    Outputs,
    bind_tensors,
    exclude_inputs,
    rule,
)


@rule("concat")
def concat(op: LabelledOperator) -> Outputs:
    parts = op.inputs("X")
    names = op.operator.inputs["X"]
    at = op.number("axis", 0) % len(parts[0])
    result: list[Labels | None] = []
    for axis in range(len(parts[0])):
        labels = [part[axis] for part in parts]
        if axis != at:
            result += bind_tensors(op, [(one,) for one in labels])
        elif all(one is None for one in labels):
            result.append(None)
        else:
            pieces = []
            for one, name in zip(labels, names, strict=True):
                if one is None:
                    one = op.book.new(op.shapes[name][axis])
                    op.book.exclude(one, "concatenated with what is not a layer's output")
                pieces.append(one)
            result.append(np.concatenate(pieces))
    return {"Out": tuple(result)}


@rule("split")
def split(op: LabelledOperator) -> Outputs:
    """Equal parts must stay equal: their labels are bound index by index."""
    axes = op.input("X")
    names = op.operator.outputs["Out"]
    at = op.number("axis", 0) % len(axes)
    labels = axes[at]
    if labels is None:
        return {"Out": [axes] * len(names)}
    sizes = [op.shapes[name][at] for name in names]
    if len(set(sizes)) > 1:
        op.book.exclude(labels, "split into unequal parts")
    else:
        op.book.bind_all(labels.reshape(len(names), -1))
    pieces = np.split(labels, np.cumsum(sizes)[:-1])
    return {"Out": [(*axes[:at], piece, *axes[at + 1 :]) for piece in pieces]}


@rule("slice", "strided_slice")
def slicing(op: LabelledOperator) -> Outputs:
    source = "Input" if op.has_input("Input") else "X"
    axes = list(op.input(source))
    before = op.input_shape(source)
    dropped = [axis % len(axes) for axis in op.numbers("decrease_axis")]
    sliced = {axis % len(axes) for axis in op.numbers("axes")}
    after = iter(op.output_shape())
    result: list[Labels | None] = []
    for axis, labels in enumerate(axes):
        size = 1 if axis in dropped else next(after, 1)
        if axis in sliced and (axis in dropped or size != before[axis]):
            op.book.exclude(labels, "sliced at fixed indices")
            labels = None
        if axis not in dropped:
            result.append(labels)
    return {"Out": tuple(result)}


@rule("reshape2", "flatten_contiguous_range", "squeeze2", "unsqueeze2", "flatten2", "reshape")
def reshape(op: LabelledOperator) -> Outputs:
    after = op.output_shape()
    return {"Out": reshape_labels(op.book, op.input("X"), op.input_shape("X"), after)}


@rule("transpose2", "transpose")
def transpose(op: LabelledOperator) -> Outputs:
    axes = op.input("X")
    return {"Out": tuple(axes[axis] for axis in op.numbers("axis"))}


@rule("stack")
def stack(op: LabelledOperator) -> Outputs:
    parts = op.inputs("X")
    at = op.number("axis", 0) % (len(parts[0]) + 1)
    result = bind_tensors(op, parts)
    result.insert(at, None)
    return {"Y": tuple(result)}


@rule("expand_v2", "tile", "expand_as_v2")
def expand(op: LabelledOperator) -> Outputs:
    axes, before, after = op.input("X"), op.input_shape("X"), op.output_shape()
    axes = (*(None,) * (len(after) - len(axes)), *axes)
    before = (*(1,) * (len(after) - len(before)), *before)
    result: list[Labels | None] = []
    for labels, old, new in zip(axes, before, after, strict=True):
        if old != new:
            op.book.exclude(labels, "repeated along its axis")
            labels = None
        result.append(labels)
    return {"Out": tuple(result)}


@rule("pixel_shuffle")
def pixel_shuffle(op: LabelledOperator) -> Outputs:
    """The channels that become one channel of a larger image are bound."""
    samples, channels, *rest = op.input("X")
    if channels is None or op.attribute("data_format", "NCHW") != "NCHW":
        return exclude_inputs(op, "shuffled into rows and columns")
    together = channels.reshape(-1, op.number("upscale_factor", 1) ** 2)
    op.book.bind_all(together.T)
    return {"Out": (samples, together[:, 0].copy(), *rest)}
