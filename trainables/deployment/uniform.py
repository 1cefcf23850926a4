"""Operators whose output has one value throughout, given inputs that have.

Values are computed in float32, as the operators compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from paddle.base.framework import Operator

Function = Callable[[Operator, np.float32], float | np.floating]

# Give zeros where the input that they compute on is zeros, whatever their other inputs are. Named
# with that input.
ZEROS_OF_ZEROS: Mapping[str, str] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv2d_transpose", "conv3d"), "Input"),
    **dict.fromkeys(("matmul_v2", "pool2d", "prelu", "softsign"), "X"),
    **dict.fromkeys(("bilinear_interp_v2", "bicubic_interp_v2", "linear_interp_v2"), "X"),
    **dict.fromkeys(("reduce_mean", "reduce_sum", "dropout"), "X"),
    **dict.fromkeys(("gelu", "elu", "mish", "silu", "swish", "selu", "celu"), "X"),
}
# Move, repeat or leave out values.
MOVES: Mapping[str, str] = {
    **dict.fromkeys(("reshape2", "transpose2", "flatten_contiguous_range", "squeeze2"), "X"),
    **dict.fromkeys(("unsqueeze2", "expand_v2", "expand_as_v2", "tile", "assign", "split"), "X"),
    **dict.fromkeys(("nearest_interp_v2", "reduce_max", "reduce_min", "flip", "roll"), "X"),
    **dict.fromkeys(("pixel_shuffle", "channel_shuffle", "unbind"), "X"),
    **dict.fromkeys(("slice", "strided_slice"), "Input"),
}
BINARY: Mapping[str, Callable[[np.float32, np.float32], np.float32]] = {
    "elementwise_add": np.add,
    "elementwise_sub": np.subtract,
    "elementwise_mul": np.multiply,
    "elementwise_div": np.divide,
    "elementwise_max": np.maximum,
    "elementwise_min": np.minimum,
}


def _scaled(op: Operator, x: np.float32) -> np.floating:
    scale, bias = np.float32(op.attr("scale")), np.float32(op.attr("bias"))
    return x * scale + bias if op.attr("bias_after_scale") else (x + bias) * scale


def _hard_sigmoid(op: Operator, x: np.float32) -> np.floating:
    return np.clip(x * np.float32(op.attr("slope")) + np.float32(op.attr("offset")), 0, 1)


def _hard_swish(op: Operator, x: np.float32) -> np.floating:
    part = np.clip(x + np.float32(op.attr("offset")), 0, np.float32(op.attr("threshold")))
    return x * part / np.float32(op.attr("scale"))


# Of one input, value by value.
UNARY: Mapping[str, Function] = {
    "abs": lambda op, x: abs(x),
    "brelu": lambda op, x: np.clip(x, op.attr("t_min"), op.attr("t_max")),
    "cast": lambda op, x: x,
    "clip": lambda op, x: np.clip(x, op.attr("min"), op.attr("max")),
    "exp": lambda op, x: np.exp(x),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "leaky_relu": lambda op, x: x if x >= 0 else x * np.float32(op.attr("alpha")),
    "relu": lambda op, x: np.maximum(x, 0),
    "relu6": lambda op, x: np.clip(x, 0, 6),
    "scale": _scaled,
    "sigmoid": lambda op, x: 1 / (1 + np.exp(-x)),
    "sqrt": lambda op, x: np.sqrt(x),
    "square": lambda op, x: x * x,
    "tanh": lambda op, x: np.tanh(x),
}


# The attribute with the value that they add at the edges.
PADS = {"pad": "pad_value", "pad3d": "value"}
FILLS = ("fill_constant", "fill_any_like", "assign_value")


def common_value(values: np.ndarray) -> float | None:
    """Return the finite value that all elements have; None if there is none."""
    if values.size == 0 or not np.all(values == values.flat[0]):
        return None
    return _finite(values.flat[0])


def _finite(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _filled(op: Operator) -> float | None:
    if op.type == "assign_value":
        return common_value(np.array([v.value() for v in op.attr("values")], "float64"))
    if "ValueTensor" in op.input_names and op.input("ValueTensor"):
        return None
    text = op.attr("str_value") if op.has_attr("str_value") else ""
    return _finite(float(text or op.attr("value")))


def _of_two(op: Operator, values: Mapping[str, float]) -> float | None:
    x, y = values.get(op.input("X")[0]), values.get(op.input("Y")[0])
    if x is not None and y is not None:
        return _finite(BINARY[op.type](np.float32(x), np.float32(y)))
    return 0.0 if op.type == "elementwise_mul" and 0 in (x, y) else None


def _of_several(op: Operator, values: Mapping[str, float]) -> float | None:
    known = [np.float32(values[name]) for name in op.input("X") if name in values]
    if len(known) < len(op.input("X")):
        return None
    if op.type == "sum":
        return float(np.sum(known, dtype="float32"))
    return float(known[0]) if len(set(known)) == 1 else None


def _of_one(op: Operator, x: float) -> float | None:
    if op.type in MOVES:
        return x
    if op.type in PADS:
        is_filled = op.type == "pad" or op.attr("mode") == "constant"
        return x if not is_filled or x == op.attr(PADS[op.type]) else None
    if op.type in UNARY and len(op.input_arg_names) == 1:  # No limit or factor that is computed.
        return _finite(UNARY[op.type](op, np.float32(x)))
    return 0.0 if op.type in ZEROS_OF_ZEROS and x == 0 else None


def output_value(op: Operator, values: Mapping[str, float]) -> float | None:
    """Return the value that all elements of an operator's outputs have; None if not known.

    `values` has those of tensors, by name, where they are known.
    """
    with np.errstate(all="ignore"):
        if op.type in FILLS:
            return _filled(op)
        if op.type in BINARY:
            return _of_two(op, values)
        if op.type in ("sum", "concat", "stack"):
            return _of_several(op, values)
        slot = {**MOVES, **ZEROS_OF_ZEROS}.get(op.type, "X")
        names = op.input(slot) if slot in op.input_names else []
        return _of_one(op, values[names[0]]) if names and names[0] in values else None
