"""Quantize steps next to layers in float, on real exports."""

import shutil
from collections import Counter

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.base.proto import framework_pb2

from trainables.compression.folding import fold_constants
from trainables.compression.slim import quantize_post_training
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.engines.registry import runtime
from trainables.deployment.export import export_float, output_difference
from trainables.deployment.exported import MODEL_FILE
from trainables.deployment.seams import drop_steps
from trainables.task import ModelInput

SAMPLES = np.random.default_rng(0).standard_normal((16, 3, 12, 12)).astype("float32")


class Block(nn.Layer):
    """A stem, a residual block and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = (
            nn.Sequential(nn.Conv2D(width, 8, 3, padding=1), nn.BatchNorm2D(8))
            for width in (3, 8, 8)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = nn.functional.relu(self.stem(x))
        x = nn.functional.relu(x + self.second(nn.functional.relu(self.first(x))))
        return self.head(x.mean([2, 3]))


def steps(folder):
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    return Counter(op.type for op in program.blocks[0].ops)["quantize_linear"]


@pytest.fixture
def quantized(tmp_path):
    """Quantize a block but for some layers; return it with the folders before and after."""
    paddle.seed(0)
    model = Block()
    model.eval()
    export_float(model, [ModelInput("image", (3, 12, 12))], tmp_path / "float")
    fold_constants(tmp_path / "float")

    def quantize(kept):
        names = {name: parameter.name for name, parameter in model.named_parameters()}
        folders = tmp_path / "before", tmp_path / "after"
        for folder in folders:
            quantize_post_training(
                *(tmp_path / "float", folder, lambda: iter([{"image": SAMPLES}])),
                float_weights=[names[f"{layer}.weight"] for layer in kept],
            )
        drop_steps(folders[1])
        return model, *folders

    return quantize


def difference(model, folder):
    """Return what OpenVINO's outputs differ by from the model's; Paddle takes the steps behind
    operators for marks, and rounds nothing there."""
    pytest.importorskip("openvino")
    shutil.copytree(folder, copy := folder.with_name(f"{folder.name}-openvino"))
    chosen = runtime("openvino")
    chosen.prepare(copy, "int8")
    expected = model(paddle.to_tensor(SAMPLES)).numpy()
    return output_difference(chosen.load(copy, "int8", 1).run([SAMPLES]), [expected])


def test_a_model_of_quantized_layers_keeps_all_steps(quantized):
    _, before, after = quantized(())
    assert steps(after) == steps(before) > 4


def test_layers_in_float_are_not_rounded(quantized):
    model, before, after = quantized(("stem.0", "first.0", "second.0", "head"))
    assert steps(before) > 4 and steps(after) == 0
    assert difference(model, before) > 1e-3
    assert difference(model, after) < 1e-5


@pytest.mark.parametrize("kept", ["stem.0", "first.0", "second.0", "head"])
def test_quantized_layers_keep_the_steps_that_they_need(kept, quantized):
    model, before, after = quantized((kept,))
    assert 3 <= steps(after) < steps(before)
    assert difference(model, after) <= 1.05 * difference(model, before)
    engine = PaddleEngine(after, "int8", 1)
    assert Counter(engine.layers().values()) == {"int8": 3, "float": 1}
