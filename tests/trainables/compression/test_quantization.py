"""Every quantization choice, on the real engine."""

import os
import subprocess
import sys
from typing import get_args

import numpy as np
import paddle
import pytest

from spaces.errors import TrialError
from spaces.plan import ON_CPU, CalibrationAlgorithm, Plan, QuantizationChoice
from tests.helpers.tiny.mine import Mine
from tests.helpers.tiny.unusual import make_task
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import (
    calibration_feeds,
    export_candidate,
    prepare_quantization,
)
from trainables.deployment.engines.paddle_inference import PaddleEngine, supports_bfloat16
from trainables.deployment.exported import size_bytes
from trainables.settings import TrialSettings
from trainables.training import Trainer

HALF = Plan.of({"conv1.weight": 0.5, "conv2.weight": 0.5}, QuantizationChoice.FLOAT)


def exported(task, choice, folder, plan=HALF, **more):
    model = pruned_model(task, plan)
    quantization = prepare_quantization(model, choice)
    if choice.is_trained:
        Trainer(model, task, steps=5, learning_rate=1e-3, batch_size=32, seed=0).run(5)
    settings = TrialSettings(task="mine", run_folder=str(folder), cache_folder=str(folder), **more)
    return export_candidate(model, choice, quantization, task, settings, folder / choice.value)


@pytest.mark.parametrize("choice", ON_CPU)
def test_pruned_model_is_exported_and_the_engine_agrees_with_it(
    choice, tiny_weights, tmp_path, capfd
):
    if choice is QuantizationChoice.BFLOAT16 and not supports_bfloat16():
        pytest.skip("this processor has no bfloat16")
    task = Mine(tiny_weights)
    engine, difference = exported(task, choice, tmp_path)
    outputs = engine.run(next(task.eval_batches("val", 50)).inputs)
    # Loading a model prints nothing of Paddle's.
    capfd.readouterr()
    PaddleEngine(tmp_path / choice.value, choice.precision, 1)
    assert capfd.readouterr() == ("", "")
    assert outputs[0].shape == (50, 10)
    assert np.isfinite(outputs[0]).all()
    assert difference < 0.3
    assert paddle.in_dynamic_mode()


def test_int8_weights_take_a_byte_each(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    plan = Plan.of({}, QuantizationChoice.FLOAT)
    for choice in (QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ):
        exported(task, choice, tmp_path, plan)
    weights = {
        choice: (tmp_path / choice / "inference.pdiparams").stat().st_size
        for choice in ("float", "int8_ptq")
    }
    assert weights["int8_ptq"] < 0.5 * weights["float"]
    assert size_bytes(tmp_path / "float") > weights["float"]


def test_every_calibration_gives_another_quantized_model(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    inputs = next(task.eval_batches("val", 50)).inputs
    plan = Plan.of({}, QuantizationChoice.FLOAT)
    (expected,) = exported(task, QuantizationChoice.FLOAT, tmp_path, plan)[0].run(inputs)
    found = []
    for algorithm in get_args(CalibrationAlgorithm):
        folder = tmp_path / algorithm
        # Two batches.
        chosen = {"calibration": algorithm, "calibration_samples": 64}
        engine, _ = exported(task, QuantizationChoice.INT8_PTQ, folder, plan, **chosen)
        (outputs,) = engine.run(inputs)
        assert (outputs.argmax(1) == expected.argmax(1)).mean() > 0.8, algorithm
        found.append(outputs)
    assert any(not np.array_equal(found[0], other) for other in found[1:])


def test_calibration_reads_the_training_data_only(tiny_weights):
    task = Mine(tiny_weights)
    task.eval_batches = None  # would raise
    feeds = calibration_feeds(
        task, TrialSettings(task="mine", run_folder="", cache_folder="", calibration_samples=70)
    )
    assert [feed["image"].shape[0] for feed in feeds] == [32, 32, 32]


@pytest.mark.parametrize("precision, expected", [("int8", "s8"), ("float", "f32")])
def test_the_engine_computes_in_the_precision_asked_for(
    precision, expected, tiny_weights, tmp_path
):
    """By what oneDNN reports that it ran, not by what was requested."""
    choice = {"int8": QuantizationChoice.INT8_PTQ, "float": QuantizationChoice.FLOAT}[precision]
    exported(Mine(tiny_weights), choice, tmp_path)
    script = (
        "import trainables, numpy as np; from pathlib import Path;"
        "from trainables.deployment.engines.paddle_inference import PaddleEngine;"
        f"e = PaddleEngine(Path({str(tmp_path / choice.value)!r}), {precision!r}, 1);"
        "e.run([np.zeros((4, 1, 14, 14), 'float32')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    convolutions = [
        line for line in said.splitlines() if ",convolution," in line and "exec" in line
    ]
    assert convolutions
    assert all((":s8" in line) == (expected == "s8") for line in convolutions)


def test_engine_without_its_switch_is_the_plain_reference(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    # Unpruned: the scores of an untrained pruned model differ by less than rounding.
    engine, _ = exported(task, QuantizationChoice.INT8_PTQ, tmp_path, Plan())
    inputs = next(task.eval_batches("val", 400)).inputs
    plain = PaddleEngine(tmp_path / "int8_ptq", None, 1).run(inputs)[0]
    agreement = np.mean(plain.argmax(1) == engine.run(inputs)[0].argmax(1))
    assert agreement > 0.8


def test_a_model_without_quantizable_layers_is_refused_before_training():
    model = make_task("own layers").build_model()
    with pytest.raises(TrialError, match=r"int8_qat quantizes .* use int8_ptq"):
        prepare_quantization(model, QuantizationChoice.INT8_QAT)
    assert model(paddle.rand([2, 3, 16, 16])).shape == [2, 5]


def test_an_export_that_runs_in_float_only_is_not_int8(tmp_path):
    """The engine has no INT8 kernel for its only operator."""
    task = make_task("own layers")
    task.build_model = Weightless
    settings = TrialSettings(task="unusual", run_folder=str(tmp_path), cache_folder=str(tmp_path))
    choice = QuantizationChoice.INT8_PTQ
    with pytest.raises(TrialError, match=r"int8_ptq: the engine runs .* in float only"):
        export_candidate(task.build_model(), choice, None, task, settings, tmp_path / "int8")


class Weightless(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.scale = self.create_parameter([3, 1, 1])

    def forward(self, x):
        return (x * self.scale).mean([2, 3])
