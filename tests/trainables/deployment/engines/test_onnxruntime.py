"""What is ONNX Runtime's alone: its file, and what of it cannot be made or loaded."""

import paddle
import pytest
from paddle import nn

from spaces.errors import TrialError
from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import exported
from trainables.deployment.engines.registry import runtime
from trainables.deployment.export import export_float
from trainables.deployment.exported import ONNX_FILE, WEIGHTS_FILE, model_files, size_bytes
from trainables.task import ModelInput

pytest.importorskip("onnxruntime")


class Unknown(nn.Layer):
    def forward(self, x):
        return paddle.linalg.det(x.reshape([-1, 4, 4]))


def test_its_file_is_delivered_beside_paddles(task, tmp_path):
    engine, _, _ = exported("onnxruntime", task, QuantizationChoice.FLOAT, tmp_path)
    assert model_files(tmp_path)[2:] == engine.configuration.files == (ONNX_FILE,)


@pytest.mark.parametrize("choice", [QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT])
def test_every_layer_runs_in_int8_and_weights_are_stored_so(choice, task, tmp_path):
    engine, _, _ = exported("onnxruntime", task, choice, tmp_path)
    operators = engine.operators()
    assert operators.count("QLinearConv") == 2
    assert sum(kind.startswith("MatMulInteger") for kind in operators) == 1
    assert not {"Conv", "Relu", "MatMul", "Gemm"} & {*operators}
    weights = size_bytes(tmp_path, (WEIGHTS_FILE,))
    assert size_bytes(tmp_path, (ONNX_FILE,)) < 2 * weights


def test_threads_do_not_spin(task, tmp_path):
    exported("onnxruntime", task, QuantizationChoice.FLOAT, tmp_path)
    options = runtime("onnxruntime").load(tmp_path, "float", 2).configuration.options
    assert options == {
        "intra_op_num_threads": 2,
        "inter_op_num_threads": 1,
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
    }


def test_an_operator_that_the_converter_does_not_know_ends_the_trial(tmp_path):
    export_float(Unknown(), [ModelInput("x", (16,))], tmp_path)
    with pytest.raises(TrialError, match="paddle2onnx cannot convert it") as found:
        runtime("onnxruntime").prepare(tmp_path, "float")
    assert "\n" not in str(found.value)


def test_a_damaged_file_ends_the_trial(task, tmp_path):
    exported("onnxruntime", task, QuantizationChoice.FLOAT, tmp_path)
    (tmp_path / ONNX_FILE).write_bytes(b"nothing")
    with pytest.raises(TrialError, match="ONNX Runtime cannot load the model"):
        runtime("onnxruntime").load(tmp_path, "float", 1)
