"""Operators that move, choose, repeat or reduce values, and those that make constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from paddle import nn

from trainables.tasks.exported.building import Function, Made, Site, builds, given
from trainables.tasks.exported.stored_weights import DTYPES

REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "reduce_mean": paddle.mean,
    "reduce_sum": paddle.sum,
    "reduce_max": paddle.max,
    "reduce_min": paddle.min,
    "reduce_prod": paddle.prod,
    "reduce_all": paddle.all,
    "reduce_any": paddle.any,
}


def _as_written(site: Site, x: Any, output: str = "Out") -> Any:
    """Return a single number with an axis, if the program has one: Paddle before 2.5 always had."""
    name = site.op.output(output)
    return x.reshape([1]) if len(x.shape) == 0 and len(site.shape(name)) == 1 else x


@builds("concat")
def concat(site: Site) -> Made:
    op, axis = site.op, site.op.get("axis", 0)
    if op.inputs.get("AxisTensor"):
        raise site.refuse("has a computed axis")
    layer = Function(lambda *parts: paddle.concat(list(parts), axis))
    return Made(layer, op.inputs["X"], (op.output(),))


@builds("stack")
def stack(site: Site) -> Made:
    op, axis = site.op, site.op.get("axis", 0)
    layer = Function(lambda *parts: paddle.stack(list(parts), axis))
    return Made(layer, op.inputs["X"], (op.output("Y"),))


@builds("split")
def split(site: Site) -> Made:
    op, axis = site.op, site.op.get("axis", 0)
    if given(op, ("AxisTensor", "SectionsTensorList")):
        raise site.refuse("has computed sizes")
    sections = list(op.get("sections") or [])
    # Equal parts stay equal when channels are removed.
    number: Any = sections if len(set(sections)) > 1 else op.get("num") or len(sections)
    layer = Function(lambda x: tuple(paddle.split(x, number, axis)))
    return Made(layer, op.inputs["X"], op.outputs["Out"])


@builds("unstack", "unbind")
def unstack(site: Site) -> Made:
    op, axis = site.op, site.op.get("axis", 0)
    layer = Function(lambda x: tuple(paddle.unbind(x, axis)))
    return Made(layer, op.inputs["X"], op.outputs["Y" if op.type == "unstack" else "Out"])


@builds("slice")
def slicing(site: Site) -> Made:
    op = site.op
    axes, dropped = list(op.get("axes")), list(op.get("decrease_axis") or [])
    starts, ends = list(op.get("starts") or []), list(op.get("ends") or [])
    limits = [given(op, (f"{end}Tensor", f"{end}TensorList")) for end in ("Starts", "Ends")]
    if limits[0]:
        count = len(limits[0])

        def computed(x: Any, *tensors: Any) -> Any:
            parts = [list(t) for t in (tensors[:count], tensors[count:])]
            return part(x, parts[0], parts[1] or ends)
    elif limits[1]:

        def computed(x: Any, *tensors: Any) -> Any:
            return part(x, starts, list(tensors))
    else:

        def computed(x: Any, *tensors: Any) -> Any:
            return part(x, starts, ends)

    def part(x: Any, starts: list[Any], ends: list[Any]) -> Any:
        found = paddle.slice(x, axes, starts, ends)
        return _as_written(site, paddle.squeeze(found, dropped) if dropped else found)

    return Made(Function(computed), (op.inputs["Input"][0], *limits[0], *limits[1]), (op.output(),))


@builds("strided_slice")
def strided_slice(site: Site) -> Made:
    op = site.op
    named = ("StartsTensor", "EndsTensor", "StartsTensorList", "EndsTensorList", "StridesTensor")
    if given(op, named):
        raise site.refuse("has computed limits")
    limits = [list(op.get(name)) for name in ("axes", "starts", "ends", "strides")]
    dropped = list(op.get("decrease_axis") or [])

    def part(x: Any) -> Any:
        found = paddle.strided_slice(x, *limits)
        return _as_written(site, paddle.squeeze(found, dropped) if dropped else found)

    return site.function(part, "Input")


@builds("transpose2", "transpose")
def transpose(site: Site) -> Made:
    order = list(site.op.get("axis"))
    return site.function(lambda x: paddle.transpose(x, order))


@builds("flatten_contiguous_range")
def flatten(site: Site) -> Made:
    return site.made(nn.Flatten(site.op.get("start_axis", 1), site.op.get("stop_axis", -1)), "X")


@builds("flatten2", "flatten")
def flatten_in_two(site: Site) -> Made:
    axis = site.op.get("axis", 1)

    def flat(x: Any) -> Any:
        tail = paddle.flatten(x, axis, -1)
        return paddle.flatten(tail, 0, axis - 1) if axis > 1 else tail

    if axis == 0:
        raise site.refuse("flattens the batch")
    return site.function(flat)


@builds("squeeze2", "squeeze")
def squeeze(site: Site) -> Made:
    axes = list(site.op.get("axes") or [])
    return site.function(lambda x: paddle.squeeze(x, axes or None))


@builds("unsqueeze2", "unsqueeze")
def unsqueeze(site: Site) -> Made:
    if given(site.op, ("AxesTensor", "AxesTensorList")):
        raise site.refuse("has computed axes")
    axes = list(site.op.get("axes"))
    return site.function(lambda x: paddle.unsqueeze(x, axes))


@builds("tile")
def tile(site: Site) -> Made:
    names = given(site.op, ("RepeatTimes", "repeat_times_tensor"))
    times = list(site.op.get("repeat_times") or [])

    def repeated(x: Any, *tensors: Any) -> Any:
        return paddle.tile(x, times if not tensors else _one_or_several(tensors))

    return Made(Function(repeated), (site.op.inputs["X"][0], *names), (site.op.output(),))


def _one_or_several(tensors: tuple[Any, ...]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)


@builds("expand_as_v2")
def expand_as(site: Site) -> Made:
    if site.op.input("Y") is None:
        raise site.refuse("has its output's size written into it")
    return site.function(paddle.expand_as, "X", "Y")


@builds("gather")
def gather(site: Site) -> Made:
    axis = site.op.get("axis", 0)
    return site.function(lambda x, index: paddle.gather(x, index, axis), "X", "Index")


@builds("gather_nd")
def gather_nd(site: Site) -> Made:
    return site.function(paddle.gather_nd, "X", "Index")


@builds("index_select")
def index_select(site: Site) -> Made:
    axis = site.op.get("dim", 0)
    return site.function(lambda x, index: paddle.index_select(x, index, axis), "X", "Index")


@builds("flip")
def flip(site: Site) -> Made:
    axes = list(site.op.get("axis"))
    return site.function(lambda x: paddle.flip(x, axes))


@builds("roll")
def roll(site: Site) -> Made:
    shifts, axes = list(site.op.get("shifts")), list(site.op.get("axis"))
    return site.function(lambda x: paddle.roll(x, shifts, axes))


@builds(*REDUCTIONS)
def reduction(site: Site) -> Made:
    op, function = site.op, REDUCTIONS[site.op.type]
    axes = None if op.get("reduce_all") else list(op.get("dim"))
    keep = bool(op.get("keep_dim", False))
    return site.function(lambda x: _as_written(site, function(x, axes, keepdim=keep)))


@builds("mean")
def mean(site: Site) -> Made:
    return site.function(lambda x: _as_written(site, paddle.mean(x)))


@builds("arg_max", "arg_min")
def arg_max(site: Site) -> Made:
    op = site.op
    function = paddle.argmax if op.type == "arg_max" else paddle.argmin
    axis = None if op.get("flatten") else op.get("axis", -1)
    kind = DTYPES.get(op.get("dtype", 3), "int64")
    keep = bool(op.get("keepdims", False))
    return site.function(lambda x: _as_written(site, function(x, axis, keep, dtype=kind)))


@builds("argsort")
def argsort(site: Site) -> Made:
    op = site.op
    axis, falling = op.get("axis", -1), bool(op.get("descending", False))

    def ordered(x: Any) -> Any:
        return paddle.sort(x, axis, falling), paddle.argsort(x, axis, falling)

    return Made(Function(ordered), op.inputs["X"], (op.output(), op.output("Indices")))


@builds("top_k_v2")
def top_k(site: Site) -> Made:
    op = site.op
    if op.input("K") is not None:
        raise site.refuse("has a computed number")
    k, axis = op.get("k", 1), op.get("axis", -1)
    order = bool(op.get("largest", True)), bool(op.get("sorted", True))
    layer = Function(lambda x: paddle.topk(x, k, axis, *order))
    return Made(layer, op.inputs["X"], (op.output(), op.output("Indices")))


@builds("softmax", "log_softmax")
def softmax(site: Site) -> Made:
    kind = nn.Softmax if site.op.type == "softmax" else nn.LogSoftmax
    return site.made(kind(site.op.get("axis", -1)), "X")


@builds("cumsum")
def cumsum(site: Site) -> Made:
    axis = None if site.op.get("flatten") else site.op.get("axis", -1)
    if site.op.get("reverse") or site.op.get("exclusive"):
        raise site.refuse("runs backwards or without its own value")
    return site.function(lambda x: paddle.cumsum(x, axis))


@builds("one_hot_v2")
def one_hot(site: Site) -> Made:
    depth = site.op.get("depth")
    return site.function(lambda x: paddle.nn.functional.one_hot(x, depth))


@builds("p_norm")
def norm(site: Site) -> Made:
    op = site.op
    order, axis, keep = op.get("porder", 2.0), op.get("axis", -1), bool(op.get("keepdim"))
    axis = None if op.get("asvector") else axis
    return site.function(lambda x: paddle.norm(x, order, axis, keep))


@builds("shape")
def shape(site: Site) -> Made:
    return site.function(paddle.shape, "Input")


@builds("fill_constant")
def constant(site: Site) -> Made:
    op = site.op
    if op.input("ValueTensor") is not None:
        raise site.refuse("has a computed value")
    text = op.get("str_value") or str(op.get("value", 0.0))
    kind = DTYPES.get(op.get("dtype", 5), "float32")
    value: Any = float(text) if kind.startswith("float") else int(float(text))
    names = given(op, ("ShapeTensor", "ShapeTensorList"))
    sizes = list(op.get("shape") or [])

    def filled(*tensors: Any) -> Any:
        return paddle.full(_one_or_several(tensors) if tensors else sizes, value, kind)

    return Made(Function(filled), names, (op.output(),))


@builds("fill_any_like")
def constant_like(site: Site) -> Made:
    number = site.op.get("dtype", -1)
    value, kind = site.op.get("value", 0.0), DTYPES.get(number)
    return site.function(lambda x: paddle.full_like(x, value, kind))


@builds("fill_constant_batch_size_like")
def constant_of_batch(site: Site) -> Made:
    op = site.op
    kind = DTYPES.get(op.get("dtype", 5), "float32")
    into, out = op.get("input_dim_idx", 0), op.get("output_dim_idx", 0)
    value = float(op.get("str_value") or op.get("value", 0.0))

    def filled(x: Any) -> Any:
        sizes = list(op.get("shape"))
        sizes[out] = x.shape[into] if x.shape[into] > 0 else paddle.shape(x)[into]
        return paddle.full(sizes, value, kind)

    return site.function(filled, "Input")


@builds("assign_value")
def stored_constant(site: Site) -> Made:
    op = site.op
    named = ("values", "fp32_values", "int32_values", "int64_values", "bool_values")
    values: list[Any] = next((op.get(name) for name in named if op.get(name)), [])
    array = np.array(values, DTYPES.get(op.get("dtype", 5), "float32")).reshape(op.get("shape"))
    return Made(Function(lambda: paddle.to_tensor(array)), (), (op.output(),))


@builds("range")
def numbers(site: Site) -> Made:
    return site.function(paddle.arange, "Start", "End", "Step")


@builds("meshgrid")
def grid(site: Site) -> Made:
    layer = Function(lambda *axes: tuple(paddle.meshgrid(*axes)))
    return Made(layer, site.op.inputs["X"], site.op.outputs["Out"])
