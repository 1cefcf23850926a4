import numpy as np
import pytest

from spaces.errors import ConfigError, ExportError
from spaces.plan import Plan, QuantizationChoice
from tests.helpers.tiny.mine import Mine
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate
from trainables.deployment.onnx_export import export_onnx
from trainables.evaluation import first_samples
from trainables.settings import TrialSettings


@pytest.fixture
def task(tiny_weights):
    return Mine(tiny_weights)


@pytest.mark.parametrize("choice", [QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ])
def test_onnxruntime_gives_what_paddle_gives(task, choice, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = pruned_model(task, Plan.of({"conv2.weight": 0.5}, choice))
    settings = TrialSettings(
        task="mine", run_folder=str(tmp_path), cache_folder=str(tmp_path), calibration_samples=64
    )
    export_candidate(model, choice, None, task, settings, tmp_path / "model")
    inputs = first_samples(task, 20)
    target = tmp_path / "model.onnx"
    difference = export_onnx(tmp_path / "model", target, inputs, choice.precision, 1)
    assert difference < (1e-4 if choice is QuantizationChoice.FLOAT else 0.1)
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    # Any batch size.
    for count in (1, 7):
        (outputs,) = session.run(None, {"image": inputs[0][:count]})
        assert outputs.shape == (count, 10)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_model_that_cannot_be_converted(tmp_path):
    pytest.importorskip("paddle2onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "inference.pdmodel").write_bytes(b"nothing")
    (folder / "inference.pdiparams").write_bytes(b"")
    with pytest.raises(ExportError, match=r"cannot convert it|does not run"):
        export_onnx(folder, tmp_path / "model.onnx", [np.zeros((1, 1, 14, 14), "f4")], "float", 1)
    assert not (tmp_path / "model.onnx").exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("trainables.deployment.onnx_export.PACKAGES", ("no_such_package",))
    with pytest.raises(ConfigError, match=r"needs no_such_package.*slimsearch\[onnx\]"):
        export_onnx(tmp_path, tmp_path / "model.onnx", [], "float", 1)
