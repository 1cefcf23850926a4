"""Rules of operators that compute: one small function per kind of operator."""

from __future__ import annotations

import numpy as np

from trainables.compression.graph.labels import Axes, Labels, reshape_labels
from trainables.compression.graph.rules import (
    LabelledOperator,
    Outputs,
    bind_tensors,
    exclude_inputs,
    rule,
)

RECURRENT = "a recurrent layer stays whole: its state at one step feeds every gate of the next"


@rule(
    *("relu", "relu6", "sigmoid", "tanh", "hard_swish", "hardswish", "hard_sigmoid", "leaky_relu"),
    *("swish", "silu", "gelu", "mish", "elu", "selu", "softplus", "exp", "sqrt", "rsqrt", "abs"),
    *("square", "log", "log1p", "floor", "sin", "cos", "erf", "clip", "scale", "cast", "assign"),
    *("dropout", "pow", "hard_tanh", "stanh", "logsigmoid", "sign", "share_data"),
)
def elementwise_of_one(op: LabelledOperator) -> Outputs:
    return {"Out": op.input("X")}


def _channels_last(op: LabelledOperator) -> bool:
    layout = op.attribute("data_layout", op.attribute("data_format", "NCHW"))
    return layout in ("NHWC", "NLC", "NDHWC")


def _channels_pass(op: LabelledOperator, source: str, target: str) -> Outputs:
    """Pass samples and channels on; the sizes of the other axes may change."""
    axes, last = op.input(source), _channels_last(op)
    middle = axes[1:-1] if last else axes[2:]
    for labels in middle:
        op.book.exclude(labels, f"{op.type} over its channels")
    blank = (None,) * len(middle)
    return {target: (axes[0], *blank, axes[-1]) if last else (*axes[:2], *blank)}


@rule("pool2d", "pool3d", "pad3d")
def pooling(op: LabelledOperator) -> Outputs:
    return _channels_pass(op, "X", "Out")


@rule("max_pool2d_with_index", "max_pool3d_with_index")
def pooling_with_index(op: LabelledOperator) -> Outputs:
    passed = _channels_pass(op, "X", "Out")
    return {**passed, "Mask": passed["Out"]}


@rule(
    *("nearest_interp_v2", "bilinear_interp_v2", "bicubic_interp_v2", "linear_interp_v2"),
    "trilinear_interp_v2",
)
def resizing(op: LabelledOperator) -> Outputs:
    return _channels_pass(op, "X", "Out")


def _convolved(op: LabelledOperator, reads: int, writes: int) -> Outputs:
    """Bind a convolution's input to its weight; of a grouped one, only whole groups are removed.

    `reads` and `writes` are the weight's axes of input and of output channels.
    """
    source, weight = op.input("Input"), op.input("Filter")
    inputs, outputs = weight[reads], weight[writes]
    if inputs is None or outputs is None:
        return exclude_inputs(op, "convolved with what is not a layer's weight")
    last = _channels_last(op)
    channels = source[-1 if last else 1]
    groups = max(1, op.number("groups", 1))
    if groups == 1:
        op.bind(channels, inputs, "reads the model's input")
    else:
        # The weight's first axis spans all groups, the other one group's channels.
        first, other = (outputs, inputs) if writes == 0 else (inputs, outputs)
        op.book.exclude(other, "one group's channels in a grouped convolution")
        by_group = first.reshape(groups, -1)
        op.book.bind_all(by_group.T)
        if writes == 0:
            if channels is None:
                op.book.exclude(first, "reads the model's input")
            else:
                op.book.bind_all(channels.reshape(groups, -1).T)
                op.book.bind(channels.reshape(groups, -1)[:, :1], by_group[:, :1])
        else:
            op.bind(channels, first, "reads the model's input")
            outputs = np.repeat(by_group[:, 0], len(other))
    blank = (None,) * (len(source) - 2)
    return {"Output": (source[0], *blank, outputs) if last else (source[0], outputs, *blank)}


@rule("conv2d", "depthwise_conv2d", "conv3d")
def convolution(op: LabelledOperator) -> Outputs:
    return _convolved(op, reads=1, writes=0)


@rule("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
def transposed_convolution(op: LabelledOperator) -> Outputs:
    return _convolved(op, reads=0, writes=1)


@rule("deformable_conv")
def deformable_convolution(op: LabelledOperator) -> Outputs:
    for slot in ("Offset", "Mask"):
        if op.has_input(slot):
            op.exclude(op.input(slot), "sampling offsets of a deformable convolution")
    return _convolved(op, reads=1, writes=0)


@rule("batch_norm", "sync_batch_norm", "instance_norm")
def batch_norm(op: LabelledOperator) -> Outputs:
    axes = op.input("X")
    channels = axes[-1 if _channels_last(op) else 1]
    for slot in ("Scale", "Bias", "Mean", "Variance"):
        if op.has_input(slot):
            op.bind(channels, op.input(slot)[0], "normalizes the model's input")
    return {"Y": axes}


@rule("prelu")
def prelu(op: LabelledOperator) -> Outputs:
    axes, alpha = op.input("X"), op.input("Alpha")
    channels = axes[-1 if _channels_last(op) else 1]
    for labels in alpha:
        if labels is not None and len(labels) > 1:
            op.bind(channels, labels, "a slope per channel of the model's input")
    return {"Out": axes}


@rule("layer_norm")
def layer_norm(op: LabelledOperator) -> Outputs:
    """The statistics span the axis: with fewer values they differ from those with zeros."""
    axes = op.input("X")
    for labels in axes[op.number("begin_norm_axis", 1) :]:
        op.book.exclude(labels, "a layer norm over its channels")
    for slot in ("Scale", "Bias"):
        if op.has_input(slot):
            op.exclude(op.input(slot), "a layer norm over its channels")
    return {"Y": axes}


@rule("group_norm")
def group_norm(op: LabelledOperator) -> Outputs:
    axes = op.input("X")
    channels = axes[-1 if _channels_last(op) else 1]
    op.book.exclude(channels, "a group norm over its channels")
    for slot in ("Scale", "Bias"):
        if op.has_input(slot):
            op.exclude(op.input(slot), "a group norm over its channels")
    return {"Y": axes}


@rule(
    *("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div"),
    *("elementwise_max", "elementwise_min", "elementwise_pow"),
)
def elementwise_of_two(op: LabelledOperator) -> Outputs:
    one, other = op.input("X"), op.input("Y")
    shapes = op.input_shape("X"), op.input_shape("Y")
    rank = len(op.output_shape())
    at = op.number("axis", -1)
    broadcast = []
    for axes, shape in zip((one, other), shapes, strict=True):
        front = rank - len(axes) if at == -1 or len(axes) == rank else at
        behind = rank - front - len(axes)
        blank: Axes = (None,) * front
        broadcast.append(
            [
                (labels, size)
                for labels, size in zip(
                    (*blank, *axes, *(None,) * behind),
                    (*(1,) * front, *shape, *(1,) * behind),
                    strict=True,
                )
            ]
        )
    result: list[Labels | None] = []
    for (left, left_size), (right, right_size) in zip(*broadcast, strict=True):
        if left_size == right_size:
            reason = "combined with values that are not a layer's output"
            result.append(op.bind(left, right, reason))
        else:
            # Broadcast: the single channel of a gate belongs to none of those it scales.
            wide, narrow = (left, right) if left_size > right_size else (right, left)
            op.book.exclude(narrow, "broadcast over many channels")
            result.append(wide)
    return {"Out": tuple(result)}


@rule("sum")
def sum_of_several(op: LabelledOperator) -> Outputs:
    return {"Out": tuple(bind_tensors(op, op.inputs("X")))}


@rule("matmul_v2", "matmul", "bmm")
def matmul(op: LabelledOperator) -> Outputs:
    left, right = list(op.input("X")), list(op.input("Y"))
    if op.attribute("trans_x", op.attribute("transpose_X", False)):
        left[-1], left[-2] = left[-2], left[-1]
    if op.attribute("trans_y", op.attribute("transpose_Y", False)):
        right[-1], right[-2] = right[-2], right[-1]
    if len(left) < 2 or len(right) < 2:
        return exclude_inputs(op, f"{op.type} of a vector")
    op.bind(left[-1], right[-2], "multiplied by values that are not a layer's")
    rank = max(len(left), len(right))
    batch: list[Labels | None] = []
    for index in range(rank - 2):
        one = left[index - (rank - len(left))] if index >= rank - len(left) else None
        two = right[index - (rank - len(right))] if index >= rank - len(right) else None
        if one is not None and two is not None and len(one) == len(two):
            op.book.bind(one, two)
        elif one is not None and two is not None:
            op.book.exclude(one if len(one) == 1 else two, "broadcast over many channels")
        batch.append(one if two is None or (one is not None and len(one) > 1) else two)
    return {"Out": (*batch, left[-2], right[-1])}


@rule("mul")
def flattening_multiplication(op: LabelledOperator) -> Outputs:
    columns = op.number("x_num_col_dims", 1)
    shape = op.input_shape("X")
    rows = int(np.prod(shape[:columns]))
    axes = reshape_labels(op.book, op.input("X"), shape, (rows, int(np.prod(shape)) // rows))
    weight = op.input("Y")
    if len(weight) != 2:
        return exclude_inputs(op, "multiplied by a weight of more than two axes")
    op.bind(axes[1], weight[0], "multiplied by values that are not a layer's")
    return {"Out": (*op.input("X")[:columns], weight[1])}


@rule("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "mean", "arg_max", "arg_min")
def reduction(op: LabelledOperator) -> Outputs:
    """Channels pass a reduction over other axes; a reduction over channels excludes them."""
    axes = op.input("X")
    chosen = op.numbers("dim") or [op.number("axis", 0)]
    whole = op.type == "mean" or bool(op.attribute("reduce_all", False))
    over = set(range(len(axes))) if whole else {axis % len(axes) for axis in chosen}
    for axis in over:
        op.book.exclude(axes[axis], f"{op.type} over its channels")
    if len(op.output_shape()) == len(axes):
        return {"Out": tuple(None if i in over else labels for i, labels in enumerate(axes))}
    return {"Out": tuple(labels for i, labels in enumerate(axes) if i not in over)}


@rule("softmax", "log_softmax", "cumsum", "argsort", "top_k_v2")
def along_an_axis(op: LabelledOperator) -> Outputs:
    axes = list(op.input("X"))
    axis = op.number("axis", -1) % len(axes)
    op.book.exclude(axes[axis], f"{op.type} over its channels")
    axes[axis] = None
    return {slot: tuple(axes) for slot in op.operator.outputs}


@rule("lookup_table_v2")
def embedding(op: LabelledOperator) -> Outputs:
    rows, width = op.input("W")
    op.book.exclude(rows, "one row per word")
    return {"Out": (*op.input("Ids"), width)}


@rule("rnn")
def recurrence(op: LabelledOperator) -> Outputs:
    """All weights are bound together, so that the whole layer is excluded by one name."""
    op.exclude(op.input("Input"), "read by a recurrent layer, which stays whole")
    rows = [weight[0] for weight in op.inputs("WeightList")]
    for labels in rows[1:]:
        op.bind(rows[0], labels, RECURRENT)
    for axes in op.inputs("WeightList"):
        op.exclude(axes, RECURRENT)
    return {}


@rule("roi_align", "roi_pool")
def region_pooling(op: LabelledOperator) -> Outputs:
    return {"Out": (None, op.input("X")[1], None, None)}


@rule("shape", "fill_any_like", "fill_zeros_like")
def reading_sizes(op: LabelledOperator) -> Outputs:
    """Only the input's shape is read, which pruning changes consistently."""
    return {}
