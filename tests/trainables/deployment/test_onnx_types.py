"""INT8 ONNX files, run before and after they are rewritten."""

import shutil

import numpy as np
import paddle
import pytest
from paddle import nn

from trainables.compression.slim import quantize_post_training
from trainables.deployment.engines.registry import check_installed
from trainables.deployment.export import export_float, output_difference
from trainables.deployment.exported import ONNX_FILE
from trainables.deployment.onnx_export import convert
from trainables.task import ModelInput

onnxruntime = pytest.importorskip("onnxruntime")

SAMPLES = np.random.default_rng(0).standard_normal((16, 3, 12, 12)).astype("float32")


class Between(nn.Layer):
    """Two convolutions with an activation between, and a sum after."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second = (nn.Conv2D(width, 16, 3, padding=1) for width in (3, 16))
        self.norm, self.activation = nn.BatchNorm2D(16), activation

    def forward(self, x):
        x = self.activation(self.norm(self.first(x)))
        return self.activation(x + self.second(x)).mean([2, 3])


def session(file, optimized):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def executed(file, tmp_path):
    """Return what a file gives, and the types that run."""
    import onnx

    (outputs,) = session(file, tmp_path / "optimized.onnx").run(None, {"image": SAMPLES})
    nodes = onnx.load(str(tmp_path / "optimized.onnx")).graph.node
    return outputs, [node.op_type for node in nodes]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardswish()])
def test_the_same_values_on_integer_kernels(activation, tmp_path):
    check_installed("onnxruntime")
    paddle.seed(0)
    model = Between(activation)
    if isinstance(activation, nn.ReLU6):
        model.norm.weight.set_value(np.full(16, 5.0, "float32"))  # The limit is reached.
    export_float(model, [ModelInput("image", (3, 12, 12))], tmp_path / "float")
    folder = tmp_path / "int8"
    quantize_post_training(tmp_path / "float", folder, lambda: iter([{"image": SAMPLES}]))
    # As paddle2onnx writes it: "float" leaves its types as they are.
    convert(folder, tmp_path / "plain.onnx", "float")
    convert(folder, folder / ONNX_FILE, "int8")
    before, slow = executed(tmp_path / "plain.onnx", tmp_path)
    after, fast = executed(folder / ONNX_FILE, tmp_path)
    assert fast.count("QLinearConv") == 2 >= slow.count("QLinearConv")
    if not isinstance(activation, nn.Hardswish):
        # The last clip's values are not quantized.
        assert fast.count("Clip") == isinstance(activation, nn.ReLU6)
        assert not {"Relu", "Conv"} & {*fast}
        assert slow.count("QLinearConv") < 2
    # Integers are rounded at other places, and the scale behind a clip is finer.
    assert output_difference([after], [before]) < 0.02
    assert (folder / ONNX_FILE).stat().st_size < 0.7 * (tmp_path / "plain.onnx").stat().st_size
    # What a rewritten file says twice is the same.
    again = tmp_path / "again.onnx"
    shutil.copy(folder / ONNX_FILE, again)
    np.testing.assert_array_equal(executed(again, tmp_path)[0], after)
