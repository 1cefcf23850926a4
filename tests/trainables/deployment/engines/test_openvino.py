"""What is OpenVINO's alone: the precision of each operator, its options, its errors."""

import paddle
import pytest
from paddle import nn

from spaces.errors import TrialError
from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import exported
from trainables.deployment.engines.registry import runtime
from trainables.deployment.export import export_float
from trainables.task import ModelInput

pytest.importorskip("openvino")

COMPUTE = ("Convolution", "FullyConnected")


class Unknown(nn.Layer):
    def forward(self, x):
        return paddle.linalg.det(x.reshape([-1, 4, 4]))


def precisions(engine):
    return {precision for kind, precision in engine.executed() if kind in COMPUTE}


@pytest.mark.parametrize(
    "choice, ran",
    [
        (QuantizationChoice.FLOAT, {"f32"}),
        (QuantizationChoice.BFLOAT16, {"bf16"}),
        (QuantizationChoice.INT8_PTQ, {"u8", "i8"}),
        (QuantizationChoice.INT8_QAT, {"u8", "i8"}),
    ],
)
def test_every_layer_runs_in_the_precision_asked_for(choice, ran, task, tmp_path):
    if choice.precision not in runtime("openvino").precisions():
        pytest.skip("this processor has no bfloat16")
    engine, _, difference = exported("openvino", task, choice, tmp_path)
    assert precisions(engine) <= ran
    assert {*COMPUTE} <= {*engine.operators()}
    if choice is QuantizationChoice.BFLOAT16:
        assert 1e-5 < difference < 0.1


def test_what_it_was_given_is_what_the_manifest_says(task, tmp_path):
    engine, _, _ = exported("openvino", task, QuantizationChoice.FLOAT, tmp_path)
    assert runtime("openvino").load(tmp_path, "float", 2).configuration.options == {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_NUM_THREADS": 2,
    }
    assert engine.configuration.options["INFERENCE_NUM_THREADS"] == 1


def test_an_operator_that_it_does_not_know_is_named(tmp_path):
    export_float(Unknown(), [ModelInput("x", (16,))], tmp_path)
    with pytest.raises(TrialError) as found:
        runtime("openvino").load(tmp_path, "float", 1)
    said = "OpenVINO cannot load the model: No creator found for determinant node."
    assert str(found.value) == said
