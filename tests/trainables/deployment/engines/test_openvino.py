"""OpenVINO on tiny models, beside Paddle's own forward pass."""

import numpy as np
import paddle
import pytest
from paddle import nn

from spaces.errors import TrialError
from spaces.plan import Plan, QuantizationChoice
from tests.helpers.tiny.mine import Mine
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.engines.registry import runtime
from trainables.deployment.export import export_float, output_difference
from trainables.evaluation import eager, first_samples
from trainables.settings import TrialSettings
from trainables.task import ModelInput

pytest.importorskip("openvino")

COMPUTE = ("Convolution", "FullyConnected")


class Several(nn.Layer):
    """Two inputs and three outputs, none in the order of their names."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2D(3, 8, 3), nn.Linear(5, 4)

    def forward(self, z, a):
        return {"y": self.conv(z), "b": self.head(a), "k": 2 * z.sum([1, 2, 3])}


class Unknown(nn.Layer):
    def forward(self, x):
        return paddle.linalg.det(x.reshape([-1, 4, 4]))


@pytest.fixture
def task(tiny_weights):
    return Mine(tiny_weights)


def exported(task, choice, folder):
    """Return the engine of the half pruned tiny model, and samples."""
    model = pruned_model(task, Plan.of({"conv2.weight": 0.5}, choice))
    quantization = prepare_quantization(model, choice)
    inputs = first_samples(task, 20)
    if quantization is not None:
        model.train()
        for _ in range(10):
            model(paddle.to_tensor(inputs[0]))
    settings = TrialSettings(
        task="mine",
        run_folder=str(folder),
        cache_folder=str(folder),
        calibration_samples=64,
        engine="openvino",
    )
    engine, difference = export_candidate(model, choice, quantization, task, settings, folder)
    return engine, inputs, difference


def precisions(engine):
    return {precision for kind, precision in engine.executed() if kind in COMPUTE}


def test_float_outputs_are_the_models_own(task, tmp_path):
    engine, _, difference = exported(task, QuantizationChoice.FLOAT, tmp_path)
    assert difference < 1e-5
    assert precisions(engine) == {"f32"}
    assert engine.quantizations() == 0
    assert {"Convolution", "FullyConnected"} <= {*engine.operators()}
    # Any batch size.
    for count in (1, 7):
        (outputs,) = engine.run([np.zeros((count, 1, 14, 14), "float32")])
        assert outputs.shape == (count, 10)


def test_outputs_outlive_the_next_run(task, tmp_path):
    engine, (images,), _ = exported(task, QuantizationChoice.FLOAT, tmp_path)
    (first,) = engine.run([images])
    before = first.copy()
    engine.run([images + 1])
    np.testing.assert_array_equal(first, before)


def test_bfloat16_is_what_runs(task, tmp_path):
    if "bfloat16" not in runtime("openvino").precisions():
        pytest.skip("this processor has no bfloat16")
    engine, _, difference = exported(task, QuantizationChoice.BFLOAT16, tmp_path)
    assert 1e-5 < difference < 0.1
    assert precisions(engine) == {"bf16"}


@pytest.mark.parametrize("choice", [QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT])
def test_int8_is_what_runs_and_paddle_reads_the_same_files(choice, task, tmp_path):
    engine, inputs, difference = exported(task, choice, tmp_path)
    assert precisions(engine) <= {"i8", "u8"}
    assert engine.quantizations() >= 3
    assert difference < 0.2
    simulated = PaddleEngine(tmp_path, None, 1).run(inputs)
    assert output_difference(engine.run(inputs), simulated) < 0.1
    assert PaddleEngine(tmp_path, "int8", 1).quantizations() > 0


def test_a_model_without_scales_is_not_taken_for_int8(task, tmp_path):
    exported(task, QuantizationChoice.FLOAT, tmp_path)
    assert runtime("openvino").load(tmp_path, "int8", 1).quantizations() == 0


def test_inputs_and_outputs_are_in_the_models_order(tmp_path):
    paddle.seed(0)
    model, draw = Several(), np.random.default_rng(0)
    export_float(model, [ModelInput("z", (3, 8, 8)), ModelInput("a", (5,))], tmp_path)
    shapes = ((4, 3, 8, 8), (4, 5))
    inputs = [draw.standard_normal(shape).astype("float32") for shape in shapes]
    outputs = runtime("openvino").load(tmp_path, "float", 1).run(inputs)
    assert output_difference(outputs, eager(model)(inputs)) < 1e-5


def test_what_it_was_given_is_what_the_manifest_says(task, tmp_path):
    engine, _, _ = exported(task, QuantizationChoice.FLOAT, tmp_path)
    configuration = runtime("openvino").load(tmp_path, "float", 2).configuration
    assert configuration.name == "openvino"
    assert configuration.options == {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_NUM_THREADS": 2,
    }
    assert engine.configuration.options["INFERENCE_NUM_THREADS"] == 1
    assert configuration.versions["openvino"].count(".") == 2


def test_an_operator_that_it_does_not_know_is_named(tmp_path):
    export_float(Unknown(), [ModelInput("x", (16,))], tmp_path)
    with pytest.raises(TrialError, match=r"OpenVINO cannot load the model: .*determinant") as found:
        runtime("openvino").load(tmp_path, "float", 1)
    assert "\n" not in str(found.value)
