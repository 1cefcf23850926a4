import numpy as np
import paddle
import pytest

from spaces.plan import QuantizationChoice
from trainables.compression.quantization import prepare_quantization
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import output_difference
from trainables.task import ModelInput
from trainables.tasks.paddleocr.mobilenet_v3 import (
    LARGE,
    ConvBNLayer,
    ResidualUnit,
    SEModule,
    scaled,
)


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


def test_the_engine_computes_the_mean_of_a_gate_in_float(tmp_path):
    network = paddle.nn.Sequential(ConvBNLayer(3, 16, 3, 2, hard_swish=False), SEModule(16))
    quantization = prepare_quantization(network, QuantizationChoice.INT8_QAT)
    images = np.random.default_rng(0).random((8, 3, 32, 64)).astype("float32")
    network(paddle.to_tensor(images))
    quantization.export([ModelInput("image", (3, 32, 64))], tmp_path)
    engine = PaddleEngine(tmp_path, "int8", 1)
    assert "reduce_mean" in engine.operators() and "pool2d" not in engine.operators()
    expected = PaddleEngine(tmp_path, None, 1).run([images])
    assert output_difference(engine.run([images]), expected) < 0.1
