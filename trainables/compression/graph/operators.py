"""Rules of the operators that compute: a small function a kind, entered by name."""

from __future__ import annotations

import numpy as np

from trainables.compression.graph.labels import Axes, Labels, reshaped
from trainables.compression.graph.rules import Outputs, Seen, alike, kept_by, rule


@rule(
    *("relu", "relu6", "sigmoid", "tanh", "hard_swish", "hardswish", "hard_sigmoid", "leaky_relu"),
    *("swish", "silu", "gelu", "mish", "elu", "selu", "softplus", "exp", "sqrt", "rsqrt", "abs"),
    *("square", "log", "log1p", "floor", "sin", "cos", "erf", "clip", "scale", "cast", "assign"),
    *("dropout", "pow", "hard_tanh", "stanh", "logsigmoid", "sign", "share_data"),
)
def elementwise_of_one(seen: Seen) -> Outputs:
    return {"Out": seen.into("X")}


def _channels_last(seen: Seen) -> bool:
    layout = seen.attribute("data_layout", seen.attribute("data_format", "NCHW"))
    return layout in ("NHWC", "NLC", "NDHWC")


def _channels_pass(seen: Seen, source: str, target: str) -> Outputs:
    """Rows and columns may change, samples and channels stay as they are."""
    axes, last = seen.into(source), _channels_last(seen)
    middle = axes[1:-1] if last else axes[2:]
    for labels in middle:
        seen.book.keep(labels, f"{seen.operator.type} over a channel axis")
    blank = (None,) * len(middle)
    return {target: (axes[0], *blank, axes[-1]) if last else (*axes[:2], *blank)}


@rule("pool2d", "pool3d", "pad3d")
def pooling(seen: Seen) -> Outputs:
    return _channels_pass(seen, "X", "Out")


@rule("max_pool2d_with_index", "max_pool3d_with_index")
def pooling_with_index(seen: Seen) -> Outputs:
    passed = _channels_pass(seen, "X", "Out")
    return {**passed, "Mask": passed["Out"]}


@rule(
    *("nearest_interp_v2", "bilinear_interp_v2", "bicubic_interp_v2", "linear_interp_v2"),
    "trilinear_interp_v2",
)
def resizing(seen: Seen) -> Outputs:
    return _channels_pass(seen, "X", "Out")


def _convolved(seen: Seen, reads: int, writes: int) -> Outputs:
    """Bind a convolution's input to its weight; whole groups go, as in a depthwise one.

    `reads` and `writes` are the weight's axes of input and of output channels.
    """
    source, weight = seen.into("Input"), seen.into("Filter")
    inputs, outputs = weight[reads], weight[writes]
    if inputs is None or outputs is None:
        return kept_by(seen, "is convolved by what is not a layer's weight")
    last = _channels_last(seen)
    channels = source[-1 if last else 1]
    groups = max(1, seen.number("groups", 1))
    if groups == 1:
        seen.bind(channels, inputs, "reads the model's input")
    else:
        # The weight has one group's channels on the side opposite to its first axis.
        first, other = (outputs, inputs) if writes == 0 else (inputs, outputs)
        seen.book.keep(other, "one group's channels in a grouped convolution")
        by_group = first.reshape(groups, -1)
        seen.book.bind_all(by_group.T)
        if writes == 0:
            if channels is None:
                seen.book.keep(first, "reads the model's input")
            else:
                seen.book.bind_all(channels.reshape(groups, -1).T)
                seen.book.bind(channels.reshape(groups, -1)[:, :1], by_group[:, :1])
        else:
            seen.bind(channels, first, "reads the model's input")
            outputs = np.repeat(by_group[:, 0], len(other))
    places = (None,) * (len(source) - 2)
    return {"Output": (source[0], *places, outputs) if last else (source[0], outputs, *places)}


@rule("conv2d", "depthwise_conv2d", "conv3d")
def convolution(seen: Seen) -> Outputs:
    return _convolved(seen, reads=1, writes=0)


@rule("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
def transposed_convolution(seen: Seen) -> Outputs:
    return _convolved(seen, reads=0, writes=1)


@rule("deformable_conv")
def deformable_convolution(seen: Seen) -> Outputs:
    for slot in ("Offset", "Mask"):
        if seen.has(slot):
            seen.keep(seen.into(slot), "places of a deformable convolution")
    return _convolved(seen, reads=1, writes=0)


@rule("batch_norm", "sync_batch_norm", "instance_norm")
def batch_norm(seen: Seen) -> Outputs:
    axes = seen.into("X")
    channels = axes[-1 if _channels_last(seen) else 1]
    for slot in ("Scale", "Bias", "Mean", "Variance"):
        if seen.has(slot):
            seen.bind(channels, seen.into(slot)[0], "normalizes the model's input")
    return {"Y": axes}


@rule("prelu")
def prelu(seen: Seen) -> Outputs:
    axes, alpha = seen.into("X"), seen.into("Alpha")
    channels = axes[-1 if _channels_last(seen) else 1]
    for labels in alpha:
        if labels is not None and len(labels) > 1:
            seen.bind(channels, labels, "a slope for each of the model's inputs")
    return {"Out": axes}


@rule("layer_norm")
def layer_norm(seen: Seen) -> Outputs:
    """Statistics over several places: a narrower one is not the wider one masked."""
    axes = seen.into("X")
    for labels in axes[seen.number("begin_norm_axis", 1) :]:
        seen.book.keep(labels, "layer norm's statistics are taken over it")
    for slot in ("Scale", "Bias"):
        if seen.has(slot):
            seen.keep(seen.into(slot), "layer norm's statistics are taken over it")
    return {"Y": axes}


@rule("group_norm")
def group_norm(seen: Seen) -> Outputs:
    axes = seen.into("X")
    channels = axes[-1 if _channels_last(seen) else 1]
    seen.book.keep(channels, "group norm's statistics are taken over it")
    for slot in ("Scale", "Bias"):
        if seen.has(slot):
            seen.keep(seen.into(slot), "group norm's statistics are taken over it")
    return {"Y": axes}


@rule(
    *("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div"),
    *("elementwise_max", "elementwise_min", "elementwise_pow"),
)
def elementwise_of_two(seen: Seen) -> Outputs:
    one, other = seen.into("X"), seen.into("Y")
    shapes = seen.shape_into("X"), seen.shape_into("Y")
    rank = len(seen.shape_out())
    at = seen.number("axis", -1)
    spread = []
    for axes, shape in zip((one, other), shapes, strict=True):
        front = rank - len(axes) if at == -1 or len(axes) == rank else at
        behind = rank - front - len(axes)
        blank: Axes = (None,) * front
        spread.append(
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
    for (left, left_size), (right, right_size) in zip(*spread, strict=True):
        if left_size == right_size:
            reason = "meets numbers that are not a layer's"
            result.append(seen.bind(left, right, reason))
        else:
            # Spread along the other: a gate's one channel goes with none of them.
            wide, narrow = (left, right) if left_size > right_size else (right, left)
            seen.book.keep(narrow, "spread over many places")
            result.append(wide)
    return {"Out": tuple(result)}


@rule("sum")
def sum_of_several(seen: Seen) -> Outputs:
    return {"Out": tuple(alike(seen, seen.all_into("X")))}


@rule("matmul_v2", "matmul", "bmm")
def matmul(seen: Seen) -> Outputs:
    left, right = list(seen.into("X")), list(seen.into("Y"))
    if seen.attribute("trans_x", seen.attribute("transpose_X", False)):
        left[-1], left[-2] = left[-2], left[-1]
    if seen.attribute("trans_y", seen.attribute("transpose_Y", False)):
        right[-1], right[-2] = right[-2], right[-1]
    if len(left) < 2 or len(right) < 2:
        return kept_by(seen, f"{seen.operator.type} of a vector")
    seen.bind(left[-1], right[-2], "multiplied by numbers that are not a layer's")
    rank = max(len(left), len(right))
    batch: list[Labels | None] = []
    for index in range(rank - 2):
        one = left[index - (rank - len(left))] if index >= rank - len(left) else None
        two = right[index - (rank - len(right))] if index >= rank - len(right) else None
        if one is not None and two is not None and len(one) == len(two):
            seen.book.bind(one, two)
        elif one is not None and two is not None:
            seen.book.keep(one if len(one) == 1 else two, "spread over many places")
        batch.append(one if two is None or (one is not None and len(one) > 1) else two)
    return {"Out": (*batch, left[-2], right[-1])}


@rule("mul")
def flattening_multiplication(seen: Seen) -> Outputs:
    columns = seen.number("x_num_col_dims", 1)
    shape = seen.shape_into("X")
    rows = int(np.prod(shape[:columns]))
    axes = reshaped(seen.book, seen.into("X"), shape, (rows, int(np.prod(shape)) // rows))
    weight = seen.into("Y")
    if len(weight) != 2:
        return kept_by(seen, "multiplied by a weight of more than two axes")
    seen.bind(axes[1], weight[0], "multiplied by numbers that are not a layer's")
    return {"Out": (*seen.into("X")[:columns], weight[1])}


@rule("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "mean", "arg_max", "arg_min")
def reduction(seen: Seen) -> Outputs:
    """Over rows and columns channels pass; over channels, all of them have to stay."""
    axes = seen.into("X")
    chosen = seen.numbers("dim") or [seen.number("axis", 0)]
    whole = seen.operator.type == "mean" or bool(seen.attribute("reduce_all", False))
    over = set(range(len(axes))) if whole else {axis % len(axes) for axis in chosen}
    for axis in over:
        seen.book.keep(axes[axis], f"{seen.operator.type} is taken over it")
    if len(seen.shape_out()) == len(axes):
        return {"Out": tuple(None if i in over else labels for i, labels in enumerate(axes))}
    return {"Out": tuple(labels for i, labels in enumerate(axes) if i not in over)}


@rule("softmax", "log_softmax", "cumsum", "argsort", "top_k_v2")
def along_an_axis(seen: Seen) -> Outputs:
    axes = list(seen.into("X"))
    axis = seen.number("axis", -1) % len(axes)
    seen.book.keep(axes[axis], f"{seen.operator.type} is taken over it")
    axes[axis] = None
    return {slot: tuple(axes) for slot in seen.operator.outputs}


@rule("lookup_table_v2")
def embedding(seen: Seen) -> Outputs:
    rows, width = seen.into("W")
    seen.book.keep(rows, "one row for every word")
    return {"Out": (*seen.into("Ids"), width)}


@rule("roi_align", "roi_pool")
def region_pooling(seen: Seen) -> Outputs:
    return {"Out": (None, seen.into("X")[1], None, None)}


@rule("shape", "fill_any_like", "fill_zeros_like")
def forgetting(seen: Seen) -> Outputs:
    """Only sizes are read, and they follow."""
    return {}
