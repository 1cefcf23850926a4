import numpy as np
import paddle
import pytest

from trainables.tasks.paddleocr.mobilenet_v3 import LARGE, ResidualUnit, SEModule, scaled


@pytest.mark.parametrize(
    ("channels", "scale", "expected"), [(16, 1.0, 16), (16, 0.35, 8), (40, 0.5, 24), (24, 0.75, 24)]
)
def test_scaled_channels_are_multiples_of_8_at_most_a_tenth_too_few(channels, scale, expected):
    assert scaled(channels, scale) == expected


def test_a_gate_has_the_slope_of_paddleocr():
    gates = SEModule(8)
    gates.conv2.weight.set_value(paddle.zeros_like(gates.conv2.weight))
    gates.conv2.bias.set_value(paddle.ones_like(gates.conv2.bias))
    gated = gates(paddle.ones([1, 8, 2, 2])).numpy()
    assert np.allclose(gated, 0.2 * 1 + 0.5)


@pytest.mark.parametrize(("stride", "expected"), [(1, True), (2, False), ((1, 1), False)])
def test_only_a_plain_stride_of_one_gets_a_shortcut(stride, expected):
    block = LARGE[0]._replace(stride=stride)
    assert ResidualUnit(8, block, 0.5).is_residual is expected
