"""Operators on maps: pooling, resizing, padding, shuffling."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from trainables.tasks.exported.building import Made, Site, builds

MODES = {
    f"{mode}_interp{version}": mode
    for mode in ("nearest", "bilinear", "bicubic", "linear", "trilinear")
    for version in ("", "_v2")
}
# The axes that are resized.
SPATIAL = {"linear": 1, "trilinear": 3}
SIZES = ("out_d", "out_h", "out_w")


@builds("pool2d")
def pooling(site: Site) -> Made:
    op = site.op
    layout = op.get("data_format", "NCHW").replace("AnyLayout", "NCHW")
    is_max = op.get("pooling_type") == "max"
    sizes = list(op.get("ksize"))
    if op.get("global_pooling") or op.get("adaptive"):
        sizes = [1, 1] if op.get("global_pooling") else sizes
        if is_max:
            return site.made(nn.AdaptiveMaxPool2D(sizes), "X")
        return site.made(nn.AdaptiveAvgPool2D(sizes, layout), "X")
    padding = op.get("paddings")
    if op.get("padding_algorithm", "EXPLICIT") != "EXPLICIT":
        padding = op.get("padding_algorithm")
    common = {
        "stride": op.get("strides"),
        "padding": padding,
        "ceil_mode": bool(op.get("ceil_mode")),
        "data_format": layout,
    }
    if is_max:
        return site.made(nn.MaxPool2D(sizes, **common), "X")
    return site.made(nn.AvgPool2D(sizes, exclusive=bool(op.get("exclusive", True)), **common), "X")


@builds("max_pool2d_with_index")
def pooling_with_index(site: Site) -> Made:
    op = site.op
    if op.get("adaptive") or op.get("global_pooling"):
        size = [1, 1] if op.get("global_pooling") else list(op.get("ksize"))
        layer = nn.AdaptiveMaxPool2D(size, return_mask=True)
    else:
        layer = nn.MaxPool2D(op.get("ksize"), op.get("strides"), op.get("paddings"), True)
    return Made(layer, op.inputs["X"], (op.output(), op.output("Mask")))


class Resize(nn.Layer):
    """Resizes maps to a size, by a factor, or to a computed size."""

    def __init__(self, size: list[int] | None, factors: list[float] | None, how: Any) -> None:
        super().__init__()
        self._size, self._factors, self._how = size, factors, how

    def forward(self, x: Any, *computed: Any) -> Any:
        if computed:
            size = computed[0] if len(computed) == 1 else list(computed)
            return F.interpolate(x, size=size, **self._how)
        if self._factors:
            return F.interpolate(x, scale_factor=self._factors, **self._how)
        return F.interpolate(x, size=self._size, **self._how)


@builds(*MODES)
def resizing(site: Site) -> Made:
    op, mode = site.op, MODES[site.op.type]
    how = {"mode": mode, "data_format": op.get("data_layout", "NCHW")}
    how["align_mode"] = op.get("align_mode", 1)
    how["align_corners"] = bool(op.get("align_corners", False))
    if mode == "nearest":
        del how["align_mode"]
    if mode == "linear":
        how["data_format"] = "NCW" if how["data_format"] in ("NCHW", "NCW") else "NWC"
    if op.input("Scale") is not None:
        raise site.refuse("has a computed factor")
    count = SPATIAL.get(mode, 2)
    size = [op.get(name, -1) for name in SIZES][-count:]
    factors = op.get("scale") or []
    factors = list(factors) if isinstance(factors, list) else [factors]
    factors = [f for f in factors if f > 0] * (count if len(factors) == 1 else 1)
    computed = op.inputs.get("SizeTensor") or op.inputs.get("OutSize") or ()
    layer = Resize(size, factors or None, how)
    return Made(layer, (op.inputs["X"][0], *computed), (op.output(),))


@builds("pad3d", "pad2d")
def padding(site: Site) -> Made:
    op = site.op
    if op.inputs.get("Paddings"):
        raise site.refuse("has computed sizes")
    sizes, mode = list(op.get("paddings")), op.get("mode", "constant")
    layout = op.get("data_format", "NCDHW")
    value = op.get("value", op.get("pad_value", 0.0))
    if op.type == "pad2d":
        # The older operator has top and bottom first.
        sizes = [*sizes[2:], *sizes[:2]]
        mode = {"edge": "replicate"}.get(mode, mode)
    return site.function(lambda x: F.pad(x, sizes, mode, value, layout))


@builds("pad")
def padding_all(site: Site) -> Made:
    op = site.op
    sizes, value = list(op.get("paddings")), op.get("pad_value", 0.0)
    return site.function(lambda x: F.pad(x, sizes, "constant", value, pad_from_left_axis=True))


@builds("pixel_shuffle")
def pixel_shuffle(site: Site) -> Made:
    op = site.op
    layer = nn.PixelShuffle(op.get("upscale_factor"), op.get("data_format", "NCHW"))
    return site.made(layer, "X")


@builds("shuffle_channel", "channel_shuffle")
def channel_shuffle(site: Site) -> Made:
    groups = site.op.get("group", site.op.get("groups"))
    return site.made(nn.ChannelShuffle(groups), "X")


@builds("grid_sampler")
def grid_sampler(site: Site) -> Made:
    op = site.op
    how = op.get("mode", "bilinear"), op.get("padding_mode", "zeros"), op.get("align_corners", True)
    return site.function(lambda x, grid: F.grid_sample(x, grid, *how), "X", "Grid")


@builds("affine_channel")
def affine_channel(site: Site) -> Made:
    def scaled(x: Any, scale: Any, bias: Any) -> Any:
        return x * paddle.reshape(scale, [1, -1, 1, 1]) + paddle.reshape(bias, [1, -1, 1, 1])

    return site.function(scaled, "X", "Scale", "Bias")
