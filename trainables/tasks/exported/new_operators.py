"""Operators of Paddle 3's new format, and the older ones that they are.

The newer program writes as tensors what the older one has as attributes: they are constants then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Form:
    """The older form of an operator."""

    type: str
    inputs: tuple[str, ...] = ("X",)
    """A slot for each operand; "=name" makes a constant an attribute, "=name|Slot" a tensor where
    it is computed; "" leaves it out."""
    outputs: tuple[str, ...] = ("Out",)
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Attributes that have another name."""


LAYOUT = {"data_format": "data_layout"}
REDUCED = {"axis": "dim", "keepdim": "keep_dim"}
WITHOUT_CHANGE = (
    *("relu", "relu6", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "square", "abs", "floor", "ceil"),
    *("log", "silu", "erf", "sin", "cos", "sign", "round", "gelu", "mish", "elu", "selu", "swish"),
    *("softplus", "softsign", "logsigmoid", "reciprocal", "softmax", "log_softmax", "assign"),
    *("pixel_shuffle", "logical_not", "isnan", "flip", "thresholded_relu"),
)
OF_TWO = {
    "add": "elementwise_add",
    "subtract": "elementwise_sub",
    "multiply": "elementwise_mul",
    "divide": "elementwise_div",
    "maximum": "elementwise_max",
    "minimum": "elementwise_min",
    "elementwise_pow": "elementwise_pow",
    "remainder": "elementwise_mod",
    "floor_divide": "elementwise_floordiv",
    **{name: name for name in ("bmm", "equal", "not_equal", "greater_than", "greater_equal")},
    **{name: name for name in ("less_than", "less_equal", "logical_and", "logical_or")},
}
CONVOLVED = ("Input", "Filter")
NORMED = ("X", "Scale", "Bias")
RESIZED = ("X", "OutSize", "SizeTensor", "Scale")

FORMS: Mapping[str, Form] = {
    **{name: Form(name) for name in WITHOUT_CHANGE},
    **{name: Form(older, ("X", "Y")) for name, older in OF_TWO.items()},
    **{n: Form(n, CONVOLVED, ("Output",)) for n in ("conv2d", "depthwise_conv2d")},
    **{
        name: Form(name, (*CONVOLVED, "=output_size"), ("Output",))
        for name in ("conv2d_transpose", "depthwise_conv2d_transpose")
    },
    **{
        name: Form(
            "batch_norm",
            ("X", "Mean", "Variance", "Scale", "Bias"),
            ("Y", "MeanOut", "VarianceOut", "SavedMean", "SavedVariance", "ReserveSpace"),
            LAYOUT,
        )
        for name in ("batch_norm", "batch_norm_")
    },
    "layer_norm": Form("layer_norm", NORMED, ("Y", "Mean", "Variance")),
    "group_norm": Form("group_norm", NORMED, ("Y", "Mean", "Variance"), LAYOUT),
    "instance_norm": Form("instance_norm", NORMED, ("Y", "SavedMean", "SavedVariance")),
    "prelu": Form("prelu", ("X", "Alpha")),
    "embedding": Form("lookup_table_v2", ("Ids", "W")),
    "matmul": Form(
        "matmul_v2", ("X", "Y"), renamed={"transpose_x": "trans_x", "transpose_y": "trans_y"}
    ),
    "hardswish": Form("hard_swish"),
    "hardtanh": Form("hard_tanh"),
    "hardsigmoid": Form("hard_sigmoid"),
    "leaky_relu": Form("leaky_relu", renamed={"negative_slope": "alpha"}),
    "pow": Form("pow", renamed={"y": "factor"}),
    "scale": Form("scale", ("X", "=scale|ScaleTensor")),
    "clip": Form("clip", ("X", "=min|Min", "=max|Max")),
    "cast": Form("cast", renamed={"dtype": "out_dtype"}),
    "dropout": Form(
        "dropout",
        ("X", "", "=dropout_prob"),
        ("Out", "Mask"),
        {"mode": "dropout_implementation"},
    ),
    "pool2d": Form("pool2d", ("X", "=ksize")),
    "max_pool2d_with_index": Form(
        "max_pool2d_with_index", outputs=("Out", "Mask"), renamed={"kernel_size": "ksize"}
    ),
    "nearest_interp": Form("nearest_interp_v2", RESIZED, renamed=LAYOUT),
    "bilinear_interp": Form("bilinear_interp_v2", RESIZED, renamed=LAYOUT),
    "bicubic_interp": Form("bicubic_interp_v2", RESIZED, renamed=LAYOUT),
    "pad3d": Form("pad3d", ("X", "=paddings|Paddings"), renamed={"pad_value": "value"}),
    "reshape": Form("reshape2", ("X", "=shape|Shape")),
    "flatten": Form("flatten_contiguous_range"),
    "transpose": Form("transpose2", renamed={"perm": "axis"}),
    "squeeze": Form("squeeze2", ("X", "=axes")),
    "unsqueeze": Form("unsqueeze2", ("X", "=axes")),
    "concat": Form("concat", ("X", "=axis")),
    "split": Form("split", ("X", "=sections", "=axis")),
    "split_with_num": Form("split", ("X", "=axis")),
    "stack": Form("stack", outputs=("Y",)),
    "unbind": Form("unbind"),
    "slice": Form("slice", ("Input", "=starts|StartsTensor", "=ends|EndsTensor")),
    "strided_slice": Form("strided_slice", ("Input", "=starts", "=ends", "=strides")),
    "expand": Form("expand_v2", ("X", "=shape|Shape")),
    "tile": Form("tile", ("X", "=repeat_times|RepeatTimes")),
    "where": Form("where", ("Condition", "X", "Y")),
    "shape": Form("shape", ("Input",)),
    "shape64": Form("shape", ("Input",)),
    "full_like": Form("fill_any_like", ("X", "=value")),
    "add_n": Form("sum"),
    "mean": Form("reduce_mean", ("X", "=dim"), renamed=REDUCED),
    "sum": Form("reduce_sum", ("X", "=dim"), renamed=REDUCED),
    "max": Form("reduce_max", ("X", "=dim"), renamed=REDUCED),
    "min": Form("reduce_min", ("X", "=dim"), renamed=REDUCED),
    "argmax": Form("arg_max", ("X", "=axis")),
    "argmin": Form("arg_min", ("X", "=axis")),
    "argsort": Form("argsort", outputs=("Out", "Indices")),
    "cumsum": Form("cumsum", ("X", "=axis")),
    "roll": Form("roll", ("X", "=shifts")),
    "one_hot": Form("one_hot_v2", ("X", "=depth")),
    "topk": Form("top_k_v2", ("X", "=k"), ("Out", "Indices")),
}
