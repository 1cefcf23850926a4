"""Each operator's rule, beside what Paddle computes."""

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from trainables.compression.graph.modes import quietly
from trainables.deployment import uniform
from trainables.deployment.export import own_scope

FILTERS = {"depthwise": (8, 1, 3, 3), "plain": (4, 8, 3, 3), "3d": (4, 8, 1, 3, 3)}


def filled(shape, value=0.2):
    return paddle.full(shape, value, "float32")


FUNCTIONS = {
    "abs": paddle.abs,
    "assign": paddle.assign,
    "assign_value": lambda x: x + paddle.to_tensor(np.full([8, 1, 1], 0.5, "float32")),
    "bicubic_interp_v2": lambda x: F.interpolate(x, [8, 8], mode="bicubic"),
    "bilinear_interp_v2": lambda x: F.interpolate(x, [8, 8], mode="bilinear"),
    "brelu": F.hardtanh,
    "cast": lambda x: x.astype("float64").astype("float32"),
    "celu": F.celu,
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "clip": lambda x: paddle.clip(x, 0.1, 0.7),
    "concat": lambda x: paddle.concat([x, x], 1),
    "conv2d": lambda x: F.conv2d(x, filled(FILTERS["plain"]), padding=1),
    "conv2d_transpose": lambda x: F.conv2d_transpose(x, filled((8, 4, 3, 3))),
    "conv3d": lambda x: F.conv3d(x.unsqueeze(2), filled(FILTERS["3d"])),
    "depthwise_conv2d": lambda x: F.conv2d(x, filled(FILTERS["depthwise"]), groups=8),
    "dropout": lambda x: F.dropout(x, 0.2, training=False, mode="downscale_in_infer"),
    "elementwise_add": lambda x: x + filled([8, 1, 1]),
    "elementwise_div": lambda x: x / filled([1]),
    "elementwise_max": lambda x: paddle.maximum(x, filled([1], 0.7)),
    "elementwise_min": lambda x: paddle.minimum(x, filled([1], 0.7)),
    "elementwise_mul": lambda x: x * filled([1]),
    "elementwise_sub": lambda x: x - filled([1]),
    "elu": F.elu,
    "exp": paddle.exp,
    "expand_as_v2": lambda x: x.expand_as(paddle.concat([x, x], 0)),
    "expand_v2": lambda x: x.expand([2, 8, 4, 4]),
    "fill_any_like": lambda x: paddle.full_like(x, 0.3),
    "fill_constant": lambda x: filled([2, 3]),
    "flatten_contiguous_range": lambda x: x.flatten(1),
    "flip": lambda x: x.flip(1),
    "gelu": F.gelu,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "leaky_relu": lambda x: F.leaky_relu(x - 1.0, 0.2),
    "linear_interp_v2": lambda x: F.interpolate(x[:, :, 0], [8], mode="linear", data_format="NCW"),
    "matmul_v2": lambda x: x @ filled([4, 3]),
    "mish": F.mish,
    "nearest_interp_v2": lambda x: F.interpolate(x, scale_factor=2),
    "pad": lambda x: F.pad(x, [1] * 8, value=0.5),
    "pad3d": lambda x: F.pad(x, [1, 1, 1, 1], value=0.5),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pool2d": lambda x: F.avg_pool2d(x, 3, 1, 1, exclusive=False),
    "prelu": lambda x: F.prelu(x, filled([1])),
    "reduce_max": lambda x: x.max([2, 3]),
    "reduce_mean": lambda x: x.mean([2, 3]),
    "reduce_min": lambda x: x.min([2, 3]),
    "reduce_sum": lambda x: x.sum([2, 3]),
    "relu": F.relu,
    "relu6": lambda x: F.relu6(x * 20.0),
    "reshape2": lambda x: x.reshape([0, 2, -1]),
    "roll": lambda x: x.roll(1, 1),
    "scale": lambda x: x * 3.0 - 0.5,
    "selu": F.selu,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "slice": lambda x: x[:, 2:5],
    "softsign": F.softsign,
    "split": lambda x: paddle.split(x, 2, 1)[1],
    "sqrt": paddle.sqrt,
    "square": paddle.square,
    "squeeze2": lambda x: x.squeeze(0),
    "stack": lambda x: paddle.stack([x, x]),
    "strided_slice": lambda x: x[:, ::2],
    "sum": lambda x: paddle.add_n([x, x, x]),
    "swish": F.swish,
    "tanh": paddle.tanh,
    "tile": lambda x: x.tile([1, 2, 1, 1]),
    "transpose2": lambda x: x.transpose([0, 2, 3, 1]),
    "unbind": lambda x: x.unbind(1)[3],
    "unsqueeze2": lambda x: x.unsqueeze(0),
}


def known_and_computed(function, value):
    """Return the value that the rules give, and the tensor that Paddle computes."""
    program = paddle.static.Program()
    with own_scope() as scope, paddle.static.scope_guard(scope), quietly():
        paddle.enable_static()
        with paddle.static.program_guard(program, paddle.static.Program()):
            out = function(filled([1, 8, 4, 4], value))
        values = {}
        for op in program.global_block().ops:
            found = uniform.output_value(op, values)
            if found is not None:
                values.update(dict.fromkeys(op.output_arg_names, found))
        (computed,) = paddle.static.Executor(paddle.CPUPlace()).run(program, fetch_list=[out])
    return values.get(out.name), computed, {op.type for op in program.global_block().ops}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_known_value_is_what_paddle_computes(name):
    found = {}
    for value in (0.0, 0.5, 1.0, 100.0):
        found[value], computed, types = known_and_computed(FUNCTIONS[name], value)
        assert name in types
        if found[value] is not None:
            # Zeros exactly: operators are removed for them. For ones too, but there a rounding
            # changes nothing: on some processors Paddle's sqrt of 1 is 1 - 6e-8.
            tolerance = 0 if found[value] == 0 else 1e-6
            expected = np.full_like(computed, found[value])
            np.testing.assert_allclose(computed, expected, rtol=tolerance)
    assert found[0.5 if name in uniform.PADS else 0.0] is not None


def test_every_rule_is_compared_with_paddle():
    tables = (uniform.ZEROS_OF_ZEROS, uniform.MOVES, uniform.BINARY, uniform.UNARY, uniform.PADS)
    rules = {*uniform.FILLS, "sum", "concat", "stack"}.union(*tables)
    assert rules == set(FUNCTIONS)


@pytest.mark.parametrize("values", [[1.0, 2.0], [], [np.nan, np.nan], [np.inf]])
def test_values_that_differ_are_no_common_value(values):
    assert uniform.common_value(np.array(values, "float32")) is None
    assert uniform.common_value(np.full([2, 3], 0.5, "float32")) == 0.5
