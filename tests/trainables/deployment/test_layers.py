"""Layers of exported programs, in float and quantized."""

import paddle
import pytest
from paddle import nn

from trainables.compression.slim import quantize_post_training
from trainables.deployment.export import export_float
from trainables.deployment.layers import exported_layers
from trainables.task import ModelInput


class Mixed(nn.Layer):
    """A product of two computed matrices is no layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.depthwise = nn.Conv2D(3, 4, 3), nn.Conv2D(4, 4, 3, groups=4)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.depthwise(self.conv(x)).flatten(2)
        return self.head(paddle.matmul(x, x.transpose([0, 2, 1])).flatten(1)[:, :8])


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    paddle.seed(0)
    model = Mixed()
    export_float(model, [ModelInput("image", (3, 8, 8))], folder / "float")
    feeds = [{"image": paddle.rand([4, 3, 8, 8]).numpy()}]
    kept = [model.depthwise.weight.name]
    quantize_post_training(
        folder / "float", folder / "int8", lambda: iter(feeds), float_weights=kept
    )
    return model, folder


def test_each_layer_is_named_by_its_weight(exports):
    model, folder = exports
    found = exported_layers(folder / "float")
    layers = (model.conv, model.depthwise, model.head)
    assert [layer.weight for layer in found] == [layer.weight.name for layer in layers]
    assert [layer.kind for layer in found] == ["conv2d", "depthwise_conv2d", "matmul_v2"]
    assert not any(layer.is_quantized for layer in found)


def test_layers_that_stay_in_float_have_weights_in_float(exports):
    _, folder = exports
    assert [layer.is_quantized for layer in exported_layers(folder / "int8")] == [True, False, True]
