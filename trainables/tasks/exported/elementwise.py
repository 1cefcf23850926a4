"""Operators on single values: activations, arithmetic of one and of two tensors, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from trainables.tasks.exported.building import Function, Made, Site, builds
from trainables.tasks.exported.stored_weights import DTYPES

LAYERS: Mapping[str, type[nn.Layer]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.Silu,
    "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid,
    "tanh_shrink": nn.Tanhshrink,
}
OF_ONE: Mapping[str, Callable[[Any], Any]] = {
    **{name: getattr(paddle, name) for name in ("abs", "exp", "sqrt", "rsqrt", "square", "log")},
    **{name: getattr(paddle, name) for name in ("log1p", "log2", "floor", "ceil", "round", "sin")},
    **{name: getattr(paddle, name) for name in ("cos", "erf", "sign", "reciprocal", "assign")},
    **{name: getattr(paddle, name) for name in ("logical_not", "zeros_like", "isnan")},
    "share_data": paddle.assign,
    "size": paddle.numel,
    "fill_zeros_like": paddle.zeros_like,
}
OF_TWO: Mapping[str, Callable[[Any, Any], Any]] = {
    "elementwise_add": paddle.add,
    "elementwise_sub": paddle.subtract,
    "elementwise_mul": paddle.multiply,
    "elementwise_div": paddle.divide,
    "elementwise_max": paddle.maximum,
    "elementwise_min": paddle.minimum,
    "elementwise_pow": paddle.pow,
    "elementwise_mod": paddle.mod,
    "elementwise_floordiv": paddle.floor_divide,
    **{name: getattr(paddle, name) for name in ("equal", "not_equal", "less_than", "less_equal")},
    **{name: getattr(paddle, name) for name in ("greater_than", "greater_equal", "logical_and")},
    **{name: getattr(paddle, name) for name in ("logical_or", "logical_xor", "bitwise_and")},
}


@builds(*LAYERS)
def layer_of_one(site: Site) -> Made:
    return site.made(LAYERS[site.op.type](), "X")


@builds(*OF_ONE)
def function_of_one(site: Site) -> Made:
    slot = "Input" if site.op.input("Input") is not None else "X"
    return site.function(OF_ONE[site.op.type], slot)


@builds(*OF_TWO)
def function_of_two(site: Site) -> Made:
    """`axis` is where the second tensor's first axis lies in the first one's; -1: at its end."""
    function, axis = OF_TWO[site.op.type], site.op.get("axis", -1)
    ranks = site.rank("X"), site.rank("Y")
    behind = 0 if axis == -1 else ranks[0] - axis - ranks[1]

    def combined(x: Any, y: Any) -> Any:
        if behind > 0:
            y = paddle.reshape(y, [*y.shape, *[1] * behind])
        return function(x, y)

    return site.function(combined, "X", "Y")


@builds("leaky_relu")
def leaky_relu(site: Site) -> Made:
    return site.made(nn.LeakyReLU(site.op.get("alpha", 0.02)), "X")


@builds("elu")
def elu(site: Site) -> Made:
    return site.made(nn.ELU(site.op.get("alpha", 1.0)), "X")


@builds("selu")
def selu(site: Site) -> Made:
    return site.made(nn.SELU(site.op.get("scale"), site.op.get("alpha")), "X")


@builds("gelu")
def gelu(site: Site) -> Made:
    return site.made(nn.GELU(bool(site.op.get("approximate", False))), "X")


@builds("mish")
def mish(site: Site) -> Made:
    return site.made(nn.Mish(), "X")


@builds("softplus")
def softplus(site: Site) -> Made:
    op = site.op
    return site.made(nn.Softplus(op.get("beta", 1.0), op.get("threshold", 20.0)), "X")


@builds("swish")
def swish(site: Site) -> Made:
    beta = site.op.get("beta", 1.0)
    if beta == 1.0:
        return site.made(nn.Swish(), "X")
    return site.function(lambda x: x * F.sigmoid(beta * x))


@builds("hard_swish")
def hard_swish(site: Site) -> Made:
    op = site.op
    limits = [op.get(name, default) for name, default in _HARD_SWISH.items()]
    if limits == [*_HARD_SWISH.values()]:
        return site.made(nn.Hardswish(), "X")
    most, scale, offset = limits
    return site.function(lambda x: x * paddle.clip(x + offset, 0, most) / scale)


_HARD_SWISH = {"threshold": 6.0, "scale": 6.0, "offset": 3.0}


@builds("hard_sigmoid")
def hard_sigmoid(site: Site) -> Made:
    slope, offset = site.op.get("slope", 0.2), site.op.get("offset", 0.5)
    return site.function(lambda x: F.hardsigmoid(x, slope, offset))


@builds("brelu", "hard_tanh")
def hard_tanh(site: Site) -> Made:
    return site.made(nn.Hardtanh(site.op.get("t_min"), site.op.get("t_max")), "X")


@builds("thresholded_relu")
def thresholded_relu(site: Site) -> Made:
    return site.made(nn.ThresholdedReLU(site.op.get("threshold")), "X")


@builds("clip")
def clip(site: Site) -> Made:
    op = site.op
    if op.input("Min") is not None or op.input("Max") is not None:
        raise site.refuse("has computed limits")
    least, most = op.get("min"), op.get("max")
    return site.function(lambda x: paddle.clip(x, least, most))


@builds("pow")
def power(site: Site) -> Made:
    factor = site.op.get("factor", 1.0)
    return site.function(lambda x: paddle.pow(x, factor))


@builds("scale")
def scale(site: Site) -> Made:
    op = site.op
    factor, bias = op.get("scale", 1.0), op.get("bias", 0.0)
    after = bool(op.get("bias_after_scale", True))
    if op.input("ScaleTensor") is not None:
        return site.function(lambda x, s: paddle.scale(x, s, bias, after), "X", "ScaleTensor")
    return site.function(lambda x: paddle.scale(x, factor, bias, after))


@builds("cast")
def cast(site: Site) -> Made:
    number = site.op.get("out_dtype")
    if number not in DTYPES:
        raise site.refuse("is to a type that is not supported")
    return site.function(lambda x: paddle.cast(x, DTYPES[number]))


@builds("dropout")
def dropout(site: Site) -> Made:
    op = site.op
    # In training the original's outputs are learnt, which it gives without dropout.
    if op.get("dropout_implementation") == "upscale_in_train":
        return site.made(nn.Identity(), "X")
    kept = 1.0 - op.get("dropout_prob", 0.5)
    return site.function(lambda x: paddle.scale(x, kept))


@builds("sum")
def several_added(site: Site) -> Made:
    op = site.op
    layer = Function(lambda *parts: paddle.add_n(list(parts)) if len(parts) > 1 else parts[0])
    return Made(layer, op.inputs["X"], (op.output(),))


@builds("where")
def where(site: Site) -> Made:
    return site.function(paddle.where, "Condition", "X", "Y")
