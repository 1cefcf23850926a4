"""What every engine on the CPU has to do, on tiny models beside Paddle's own forward pass."""

import numpy as np
import paddle
import pytest
from paddle import nn

from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import ON_CPU, exported, exported_model
from trainables.compression.quantization import layer_precisions
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.engines.registry import runtime
from trainables.deployment.export import export_float, output_difference
from trainables.evaluation import eager
from trainables.task import ModelInput

PTQ = QuantizationChoice.INT8_PTQ
LAYERS = ("conv1", "conv2", "head")

pytestmark = pytest.mark.parametrize("kind", ON_CPU)


class Several(nn.Layer):
    """Two inputs and three outputs, none in the order of their names."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2D(3, 8, 3), nn.Linear(5, 4)

    def forward(self, z, a):
        return {"y": self.conv(z), "b": self.head(a), "k": 2 * z.sum([1, 2, 3])}


def test_float_outputs_are_the_models_own(kind, task, tmp_path):
    engine, _, difference = exported(kind, task, QuantizationChoice.FLOAT, tmp_path)
    assert difference < 1e-5
    assert engine.quantizations() == 0
    # Any batch size.
    for count in (1, 7):
        (outputs,) = engine.run([np.zeros((count, 1, 14, 14), "float32")])
        assert outputs.shape == (count, 10)


def test_outputs_outlive_the_next_run(kind, task, tmp_path):
    engine, (images,), _ = exported(kind, task, QuantizationChoice.FLOAT, tmp_path)
    (first,) = engine.run([images])
    before = first.copy()
    engine.run([images + 1])
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("choice", [QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT])
def test_int8_is_what_runs_and_paddle_reads_its_files(kind, choice, task, tmp_path):
    engine, inputs, difference = exported(kind, task, choice, tmp_path)
    assert engine.quantizations() > 0
    assert difference < 0.3
    simulated = PaddleEngine(tmp_path, None, 1).run(inputs)
    assert output_difference(engine.run(inputs), simulated) < 0.3
    assert PaddleEngine(tmp_path, "int8", 1).quantizations() > 0


@pytest.mark.parametrize("kept", [(), ("conv2",), ("head",), ("conv2", "head")])
def test_layers_run_in_the_precision_that_each_was_exported_in(kept, kind, task, tmp_path):
    model, engine, inputs, difference = exported_model(kind, task, PTQ, tmp_path, kept)
    found = layer_precisions(model, engine)
    assert found == {name: "float" if name in kept else "int8" for name in LAYERS}
    assert difference < 0.3
    simulated = PaddleEngine(tmp_path, None, 1).run(inputs)
    assert output_difference(engine.run(inputs), simulated) < 0.3


def test_a_model_without_scales_is_not_taken_for_int8(kind, task, tmp_path):
    exported(kind, task, QuantizationChoice.FLOAT, tmp_path)
    chosen = runtime(kind)
    chosen.prepare(tmp_path, "int8")
    assert chosen.load(tmp_path, "int8", 1).quantizations() == 0


def test_inputs_and_outputs_are_in_the_models_order(kind, tmp_path):
    paddle.seed(0)
    model, draw = Several(), np.random.default_rng(0)
    export_float(model, [ModelInput("z", (3, 8, 8)), ModelInput("a", (5,))], tmp_path)
    inputs = [draw.standard_normal(shape).astype("float32") for shape in ((4, 3, 8, 8), (4, 5))]
    chosen = runtime(kind)
    chosen.prepare(tmp_path, "float")
    outputs = chosen.load(tmp_path, "float", 1).run(inputs)
    assert output_difference(outputs, eager(model)(inputs)) < 1e-5


def test_what_it_says_of_itself_is_what_was_exported(kind, task, tmp_path):
    engine, _, _ = exported(kind, task, QuantizationChoice.FLOAT, tmp_path)
    said = engine.configuration
    assert said.name.endswith(kind)
    assert said.files == runtime(kind).files("float")
    assert all((tmp_path / name).is_file() for name in said.files)
    assert {*said.versions} == ({kind} if kind != "onednn" else set())
    assert len(engine.operators()) > 3
