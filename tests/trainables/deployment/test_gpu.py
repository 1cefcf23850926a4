"""The code for GPUs, as far as it can be run without one: every call of Paddle's that it makes is
made here, or compared with what Paddle says of its arguments."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import paddle
import paddle.inference
import pytest

from benchmarks.gpu_check import checks
from spaces.errors import ConfigError
from spaces.plan import QuantizationChoice
from trainables.deployment import gpu
from trainables.deployment.engines.paddle_inference import PaddleEngine, switches
from trainables.deployment.engines.registry import (
    LISTINGS,
    chosen_runtime,
    offered_choices,
    runtime,
)
from trainables.deployment.export import TOLERANCE, tolerance
from trainables.deployment.exported import PADDLE_FILES
from trainables.settings import TrialSettings

pytestmark = pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")

# What the names of gpu.py's variables are objects of.
OBJECTS = {
    "config": paddle.inference.Config,
    "optimizer": paddle.optimizer.Optimizer,
    "loss": paddle.Tensor,
    "self._scaler": paddle.amp.GradScaler,
}


def settings_of(kind):
    return TrialSettings(run_folder="run", cache_folder=None, engine=kind)


def paddles_calls():
    """Return every call of Paddle's in gpu.py and in what checks GPUs: its name, how many arguments
    it has and which names."""
    found = {}
    trees = [ast.parse(Path(module.__file__).read_text()) for module in (gpu, checks)]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            owner = name.rpartition(".")[0]
            if name.startswith("paddle.") or owner in OBJECTS:
                keywords = tuple(keyword.arg for keyword in node.keywords)
                found[f"{name} {len(node.args)} {keywords}"] = (name, len(node.args), keywords)
    return found


CALLS = paddles_calls()


def function_of(name):
    owner, _, method = name.rpartition(".")
    if owner in OBJECTS:
        return getattr(OBJECTS[owner], method)
    found = paddle
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def arguments_of(function):
    """Return the names of a compiled function's arguments, as its help has them."""
    signature = re.search(r"\((.*)\) ->", function.__doc__).group(1)
    names = re.findall(r"(?:^|, )(\w+): ", signature)
    return [name for name in names if name != "self"]


def test_the_calls_are_found():
    names = {name for name, *_ in CALLS.values()}
    assert {"config.enable_tensorrt_engine", "paddle.amp.auto_cast", "self._scaler.step"} <= names


@pytest.mark.parametrize("call", CALLS)
def test_paddle_has_every_function_that_is_called_with_these_arguments(call):
    name, count, keywords = CALLS[call]
    function = function_of(name)
    try:
        signature = inspect.signature(function)
    except ValueError:  # It is compiled.
        allowed = arguments_of(function)
        assert count <= len(allowed) and {*keywords} <= {*allowed[count:]}, allowed
    else:
        own = () if name.startswith("paddle.") else (None,)
        signature.bind(*own, *([None] * count), **dict.fromkeys(keywords))


class WithoutTensorRt(paddle.inference.Config):
    """Notes that TensorRT was asked for, which this Paddle refuses after reading the arguments."""

    asked = False

    def enable_tensorrt_engine(self, **given):
        with pytest.raises(RuntimeError, match="please compile with TENSORRT"):
            super().enable_tensorrt_engine(**given)
        self.asked = True


def test_without_a_gpu_the_cpu_is_used():
    assert gpu.choose_device() == "cpu"
    assert gpu.distributed_backend() == "gloo"
    gpu.synchronize()


@pytest.mark.parametrize("kind", ["gpu", "tensorrt"])
def test_an_engine_that_has_no_gpu_says_so_in_one_line(kind, tmp_path):
    with pytest.raises(ConfigError, match="paddle sees no GPU") as caught:
        PaddleEngine(tmp_path, "float", 1, kind)
    assert "\n" not in str(caught.value)


def test_a_paddle_without_tensorrt_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    with pytest.raises(ConfigError, match="built without TensorRT"):
        gpu.check_usable("tensorrt")
    gpu.check_usable("gpu")


def test_float16_is_a_gpus_and_bfloat16_needs_a_new_one():
    choice = QuantizationChoice
    assert offered_choices(settings_of("gpu")) == (choice.FLOAT, choice.FLOAT16)
    assert offered_choices(settings_of("tensorrt")) == (
        *(choice.FLOAT, choice.FLOAT16, choice.INT8_PTQ, choice.INT8_QAT, choice.INT8_QAT_PACT),
    )
    for kind in gpu.PRECISIONS:
        assert gpu.PRECISIONS[kind] == LISTINGS[kind].precisions
    on_cpu = [listing for listing in LISTINGS.values() if not listing.on_gpu]
    assert all("float16" not in listing.precisions for listing in on_cpu)


@pytest.mark.parametrize("precision", gpu.MODES)
def test_every_precision_has_a_name_in_paddle(precision):
    assert gpu.mode(precision).name == gpu.MODES[precision]


def test_engines_have_fingerprints_of_their_own():
    assert len({runtime(kind).describe("float") for kind in ("onednn", "gpu", "tensorrt")}) == 3
    assert len({runtime("gpu").describe(precision) for precision in gpu.PRECISIONS["gpu"]}) == 3
    assert switches("int8", "tensorrt") == {
        "enable_use_gpu": True,
        "enable_tensorrt_engine": True,
        "precision_mode": "Int8",
    }
    settings = settings_of("tensorrt")
    batches = [chosen_runtime(settings.having(latency_batch=n)).describe("int8") for n in (1, 8)]
    assert batches[0] != batches[1]


def config_of(folder, kind=paddle.inference.Config):
    return kind(*(str(folder / name) for name in PADDLE_FILES))


@pytest.mark.parametrize("precision", gpu.PRECISIONS["gpu"])
def test_the_gpus_configuration_is_taken(precision, tiny_export):
    gpu.configure_gpu(config_of(tiny_export), precision)


@pytest.mark.parametrize("precision", gpu.PRECISIONS["tensorrt"])
def test_tensorrts_configuration_is_taken(precision, tiny_export, tmp_path):
    config, shapes_file = config_of(tiny_export, WithoutTensorRt), str(tmp_path / "shapes")
    gpu.configure_tensorrt(
        config,
        precision,
        largest_batch=8,
        shapes_file=shapes_file,
        cache_folder=str(tmp_path),
    )
    assert config.asked
    assert config.tuned_tensorrt_dynamic_shape() and config.trt_allow_build_at_runtime()
    assert config.shape_range_info_path() == shapes_file


class Half(paddle.nn.Layer):
    """A linear layer whose outputs are nested and in float16, as autocasting makes them on a GPU;
    on a CPU it does nothing."""

    def __init__(self):
        super().__init__()
        self.linear = paddle.nn.Linear(4, 3)

    def forward(self, x):
        return {"scores": [self.linear(x).astype("float16"), None], "sizes": x.shape}


def test_the_loss_of_mixed_precision_is_of_floats(monkeypatch):
    monkeypatch.setattr(gpu, "has_capability", lambda least: True)
    paddle.seed(0)
    arithmetic, model = gpu.MixedPrecision(wanted=True), Half()
    assert arithmetic.on
    before = model.linear.weight.numpy()
    optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters())
    outputs = arithmetic.outputs(model, [paddle.ones([2, 4])])
    scores, nothing = outputs["scores"]
    assert scores.dtype == paddle.float32 and nothing is None and outputs["sizes"] == [2, 4]
    arithmetic.step((scores**2).mean(), optimizer)
    assert np.isfinite(model.linear.weight.numpy()).all()
    assert not np.array_equal(model.linear.weight.numpy(), before)
    assert model.linear.weight.grad is None or not model.linear.weight.grad.numpy().any()


def test_training_is_in_float_on_a_cpu_or_if_it_shall_be(monkeypatch):
    assert not gpu.MixedPrecision(wanted=True).on
    monkeypatch.setattr(gpu, "has_capability", lambda least: True)
    arithmetic = gpu.MixedPrecision(wanted=False)
    assert not arithmetic.on
    # As the model gives them.
    outputs = arithmetic.outputs(Half(), [paddle.ones([2, 4])])
    assert outputs["scores"][0].dtype == paddle.float16


def test_floats_that_a_gpu_rounds_may_differ_more(monkeypatch):
    assert tolerance("float") == TOLERANCE["float"]
    monkeypatch.setattr(gpu, "has_capability", lambda least: least <= (8, 0))
    assert tolerance("float") == TOLERANCE["float16"] > TOLERANCE["float"]
    assert tolerance("int8") == TOLERANCE["int8"]


def nvidia_smi(folder, script):
    """Make a program of this name."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_power_state_is_nvidia_smis(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert gpu.power_state() is None
    values = "NVIDIA T4, 550.54, P0, 1590 MHz, 1590 MHz, 31.2 W, 70.00 W, 41, Enabled"
    nvidia_smi(tmp_path, f'[ "$3" = --id=3 ] && echo "{values}"')
    said = gpu.power_state()
    assert said.startswith("name NVIDIA T4, driver_version 550.54, pstate P0, clocks.sm 1590 MHz")
    nvidia_smi(tmp_path, 'echo "NVIDIA-SMI has failed, there is no driver"; exit 9')
    assert gpu.power_state() is None
