import numpy as np
import paddle
import pytest
from paddle import nn

from trainables.compression.folding import fold_constants
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float
from trainables.deployment.exported import size_bytes
from trainables.task import ModelInput

INPUTS = (ModelInput("signal", (3, 16)),)


class Computed(nn.Layer):
    """Its convolutions read a reshaped weight, and a product of two parameters."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1D(3, 4, 3)
        self.scale = self.create_parameter([5, 1, 1])
        self.weight = self.create_parameter([5, 4, 3])

    def forward(self, x):
        return nn.functional.conv1d(self.first(x), self.weight * self.scale).mean(-1)


class Conditional(Computed):
    """Its condition, and what is computed under it, read weights by name."""

    def forward(self, x):
        y = self.first(x)
        if y.sum() > 0:
            y = y + self.first.weight.sum() * self.scale.sum()
        return nn.functional.conv1d(y, self.weight * self.scale).mean(-1)


def operators(folder):
    paddle.enable_static()
    try:
        executor = paddle.static.Executor(paddle.CPUPlace())
        with paddle.static.scope_guard(paddle.static.Scope()):
            program, *_ = paddle.static.load_inference_model(str(folder / "inference"), executor)
        return [op.type for op in program.global_block().ops]
    finally:
        paddle.disable_static()


@pytest.mark.parametrize("network", [Computed, Conditional])
def test_what_depends_on_weights_alone_is_stored_and_outputs_stay(network, tmp_path):
    model = network()
    model.eval()
    export_float(model, INPUTS, tmp_path)
    x = np.random.default_rng(0).standard_normal((2, 3, 16)).astype("float32")
    assert "elementwise_mul" in operators(tmp_path)
    size = size_bytes(tmp_path)
    fold_constants(tmp_path)
    assert size_bytes(tmp_path) < size
    assert "elementwise_mul" not in operators(tmp_path)
    (found,) = PaddleEngine(tmp_path, "float", 1).run((x,))
    assert found == pytest.approx(model(paddle.to_tensor(x)).numpy(), abs=1e-5)
    assert paddle.in_dynamic_mode()
