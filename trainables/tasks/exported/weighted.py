"""Operators with weights of their own: convolutions, matrix products, norms, embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from paddle import nn

from trainables.tasks.exported.building import Function, Made, Site, builds
from trainables.tasks.exported.shapes import flattened_tail

# Activations that old versions of Paddle fuse into a layer's operator.
FUSED = {"relu": nn.ReLU}


def _padding(site: Site) -> Any:
    algorithm = site.op.get("padding_algorithm", "EXPLICIT")
    return site.op.get("paddings") if algorithm == "EXPLICIT" else algorithm


def _set_weights(site: Site, layer: nn.Layer, weight: str, bias: str | None) -> None:
    layer.weight = site.weights.parameter(weight)
    layer.bias = None if bias is None else site.weights.parameter(bias)


def _filter(site: Site) -> str:
    """Return the name of a convolution's filter. Raises TaskError if that is computed."""
    weight = site.op.input("Filter")
    if weight is None or weight not in site.weights:
        raise site.refuse("has a filter that is computed")
    return weight


@builds("conv2d", "depthwise_conv2d")
def convolution(site: Site) -> Made:
    op, weight, bias = site.op, _filter(site), site.op.input("Bias")
    if (
        op.get("fuse_relu_before_depthwise_conv")
        or op.get("fuse_activation")
        or op.get("fuse_relu")
    ):
        raise site.refuse("is fused with an activation")
    out, into, *kernel = site.weights.array(weight).shape
    groups = max(1, op.get("groups", 1))
    layer = nn.Conv2D(
        into * groups,
        out,
        kernel,
        op.get("strides"),
        _padding(site),
        op.get("dilations"),
        groups,
        weight_attr=nn.initializer.Constant(0.0),
        bias_attr=None if bias else False,
        data_format=op.get("data_format", "NCHW").replace("AnyLayout", "NCHW"),
    )
    _set_weights(site, layer, weight, bias)
    return site.made(layer, "Input", output="Output")


@builds("conv2d_transpose", "depthwise_conv2d_transpose")
def transposed_convolution(site: Site) -> Made:
    op, weight, bias = site.op, _filter(site), site.op.input("Bias")
    if op.get("output_size"):
        raise site.refuse("has its output's size written into it")
    into, out, *kernel = site.weights.array(weight).shape
    groups = max(1, op.get("groups", 1))
    layer = nn.Conv2DTranspose(
        into,
        out * groups,
        kernel,
        op.get("strides"),
        _padding(site),
        op.get("output_padding") or 0,
        groups=groups,
        dilation=op.get("dilations"),
        weight_attr=nn.initializer.Constant(0.0),
        bias_attr=None if bias else False,
        data_format=op.get("data_format", "NCHW").replace("AnyLayout", "NCHW"),
    )
    _set_weights(site, layer, weight, bias)
    return site.made(layer, "Input", output="Output")


class Flattening(nn.Linear):
    """A linear layer that flattens the last axes of its input first."""

    kept_axes: int

    def forward(self, x: Any) -> Any:
        return super().forward(flattened_tail(x, self.kept_axes))


def _linear(site: Site, weight: str, *, transposed: bool, kept: int | None) -> nn.Layer:
    """Return a linear layer; `kept` is the number of axes before those it flattens, if it does."""
    into, out = site.weights.array(weight).shape[:: -1 if transposed else 1]
    kind = nn.Linear if kept is None else Flattening
    bias = site.op.input("Bias")
    layer = kind(into, out, nn.initializer.Constant(0.0), None if bias else False)
    layer.weight = site.weights.parameter(weight, transposed=transposed)
    layer.bias = None if bias is None else site.weights.parameter(bias)
    if kept is not None:
        layer.kept_axes = kept
    return layer


def is_linear(site: Site) -> bool:
    """Return whether an operator multiplies by a matrix that is a weight, as a linear layer."""
    op, weight = site.op, site.op.input("Y")
    if op.type not in ("matmul", "matmul_v2", "mul") or weight not in site.weights:
        return False
    if len(site.weights.array(str(weight)).shape) != 2 or op.get("alpha", 1.0) != 1.0:
        return False
    return op.type == "mul" or (
        not op.get("trans_x", op.get("transpose_X", False)) and site.rank("X") > 1
    )


@builds("matmul", "matmul_v2")
def matrix_product(site: Site) -> Made:
    import paddle

    op = site.op
    flips = [op.get(f"trans_{s.lower()}", op.get(f"transpose_{s}", False)) for s in "XY"]
    if is_linear(site):
        layer = _linear(site, op.inputs["Y"][0], transposed=bool(flips[1]), kept=None)
        return site.made(layer, "X")
    alpha = op.get("alpha", 1.0)

    def product(x: Any, y: Any) -> Any:
        found = paddle.matmul(x, y, *map(bool, flips))
        return found if alpha == 1.0 else found * alpha

    return site.function(product, "X", "Y")


@builds("mul")
def flattening_product(site: Site) -> Made:
    op = site.op
    if not is_linear(site) or op.get("y_num_col_dims", 1) != 1:
        raise site.refuse("multiplies by what is not a matrix of weights")
    columns = op.get("x_num_col_dims", 1)
    kept = columns if site.rank("X") > columns + 1 else None
    return site.made(_linear(site, op.inputs["Y"][0], transposed=False, kept=kept), "X")


@builds("fc")
def fully_connected(site: Site) -> Made:
    op = site.op
    activation = op.get("activation_type", "")
    columns = op.get("in_num_col_dims", 1)
    kept = columns if site.rank("Input") > columns + 1 else None
    layer = _linear(site, op.inputs["W"][0], transposed=False, kept=kept)
    if activation:
        if activation not in FUSED:
            raise site.refuse(f"is fused with {activation}")
        layer = nn.Sequential(layer, FUSED[activation]())
    return site.made(layer, "Input")


@builds("bmm")
def batched_product(site: Site) -> Made:
    import paddle

    return site.function(paddle.bmm, "X", "Y")


NORMS = {2: nn.BatchNorm1D, 3: nn.BatchNorm1D, 4: nn.BatchNorm2D, 5: nn.BatchNorm3D}


@builds("batch_norm", "sync_batch_norm")
def batch_norm(site: Site) -> Made:
    """`use_global_stats` is not read: Paddle sets it in every export in evaluation mode."""
    op, rank = site.op, site.rank("X")
    names = [op.inputs[slot][0] for slot in ("Scale", "Bias", "Mean", "Variance")]
    if not all(name in site.weights for name in names):
        raise site.refuse("has statistics that are computed")
    layout = op.get("data_layout", "NCHW").replace("AnyLayout", "NCHW")
    formats = {2: layout.replace("HW", ""), 3: "NCL" if layout[1] == "C" else "NLC", 4: layout}
    layer = NORMS[rank](
        len(site.weights.array(names[0])),
        op.get("momentum", 0.9),
        op.get("epsilon", 1e-5),
        data_format=formats.get(rank, "NCDHW" if layout[1] == "C" else "NDHWC"),
    )
    _set_weights(site, layer, names[0], names[1])
    for buffer, name in ((layer._mean, names[2]), (layer._variance, names[3])):
        buffer.set_value(site.weights.array(name))
    return site.made(layer, "X", output="Y")


def _affine(site: Site, layer: nn.Layer) -> nn.Layer:
    """Give a norm its scale and shift, which may be missing or computed."""
    names = [site.op.input(slot) for slot in ("Scale", "Bias")]
    if any(name is not None and name not in site.weights for name in names):
        raise site.refuse("has a scale that is computed")
    weight, bias = (None if n is None else site.weights.parameter(n) for n in names)
    for name, parameter in (("weight", weight), ("bias", bias)):
        if name in layer._parameters:
            setattr(layer, name, parameter)
    return layer


@builds("layer_norm")
def layer_norm(site: Site) -> Made:
    op = site.op
    sizes = site.shape(op.inputs["X"][0])[op.get("begin_norm_axis", 1) :]
    if min(sizes) < 0:
        raise site.refuse("is over an axis of unknown size")
    given = [None if op.input(slot) else False for slot in ("Scale", "Bias")]
    layer = nn.LayerNorm(list(sizes), op.get("epsilon", 1e-5), *given)
    return site.made(_affine(site, layer), "X", output="Y")


@builds("group_norm")
def group_norm(site: Site) -> Made:
    op = site.op
    layout = op.get("data_layout", "NCHW").replace("AnyLayout", "NCHW")
    channels = site.shape(op.inputs["X"][0])[1 if layout[1] == "C" else -1]
    given = [None if op.input(slot) else False for slot in ("Scale", "Bias")]
    layer = nn.GroupNorm(op.get("groups"), channels, op.get("epsilon", 1e-5), *given, layout)
    return site.made(_affine(site, layer), "X", output="Y")


@builds("instance_norm")
def instance_norm(site: Site) -> Made:
    op, rank = site.op, site.rank("X")
    kind = {3: nn.InstanceNorm1D, 4: nn.InstanceNorm2D, 5: nn.InstanceNorm3D}[rank]
    channels = site.shape(op.inputs["X"][0])[1]
    has_scale = op.input("Scale") is not None
    attributes = [None if has_scale else False] * 2
    layer = kind(channels, op.get("epsilon", 1e-5), 0.9, *attributes)
    if has_scale:
        layer.scale = site.weights.parameter(op.inputs["Scale"][0])
        layer.bias = site.weights.parameter(op.inputs["Bias"][0])
    return site.made(layer, "X", output="Y")


@builds("prelu")
def prelu(site: Site) -> Made:
    op, name = site.op, site.op.inputs["Alpha"][0]
    if name not in site.weights or op.get("mode") == "element":
        raise site.refuse("has a slope for each element")
    size = int(np.prod(site.weights.array(name).shape))
    layer = nn.PReLU(size, data_format=op.get("data_format", "NCHW"))
    layer._weight = site.weights.parameter(name)
    return site.made(layer, "X")


@builds("lookup_table_v2", "lookup_table")
def embedding(site: Site) -> Made:
    op, name = site.op, site.op.inputs["W"][0]
    if name not in site.weights:
        raise site.refuse("reads a table that is computed")
    padding = op.get("padding_idx", -1)
    layer = nn.Embedding(*site.weights.array(name).shape, None if padding < 0 else padding)
    layer.weight = site.weights.parameter(name)
    if op.type == "lookup_table":
        # The old operator's numbers have a last axis of one.
        inner = layer
        layer = Function(lambda ids: inner(ids.squeeze(-1)))
        layer.add_sublayer("table", inner)
    return site.made(layer, "Ids")
