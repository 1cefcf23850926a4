"""A delivered model beside the one that was shipped, on a real engine."""

import dataclasses

import numpy as np
import paddle
import pytest

from benchmarks.delivered.cell import Row
from benchmarks.delivered.exported import ExportedModel
from benchmarks.delivered.jury import Jury, judged
from benchmarks.delivered.problems import ANY_LENGTHS, Problem
from trainables.deployment.export import export_float
from trainables.task import ModelInput

SPEC = ModelInput(name="x", shape=(3, 8, 8))
ROW = Row("small", "ours", 0, 30.0, 0.02, None, "float", None, 1.0, 1.0, 0.0, 0.0, "2026-01-01")


@dataclasses.dataclass(frozen=True)
class Ready(ExportedModel):
    """A model on ready tensors."""

    def task_options(self, work):
        return {"model": str(self.shipped(work)), "data": str(work / "data.npy")}


class Small(paddle.nn.Layer):
    def __init__(self, channels):
        super().__init__()
        self.inner = paddle.nn.Conv2D(3, channels, 3, padding=1)
        self.outer = paddle.nn.Conv2D(channels, 4, 3)

    def forward(self, x):
        return self.outer(paddle.nn.functional.relu(self.inner(x))).mean([2, 3])


@pytest.fixture
def problem(tmp_path):
    exported = Ready("models/small", "lines", (8, 8))
    paddle.seed(0)
    export_float(Small(8), [SPEC], exported.shipped(tmp_path))
    export_float(Small(4), [SPEC], tmp_path / "delivered")
    samples = np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype("float32")
    np.save(tmp_path / "data.npy", samples)
    return Problem("small", "exported", 0.02, 4, ANY_LENGTHS, exported=exported)


def test_a_model_is_judged_beside_the_shipped_one_on_its_engine(problem, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.delivered.jury.SECONDS_EACH", 0.1)
    monkeypatch.setattr("benchmarks.delivered.jury.problem_named", lambda name: problem)
    shipped = dataclasses.replace(
        ROW, method="int8_ptq", folder=str(problem.exported.shipped(tmp_path))
    )
    other = dataclasses.replace(ROW, folder=str(tmp_path / "delivered"))
    nothing = dataclasses.replace(ROW, method="threshold")
    same, smaller, none = judged([shipped, other, nothing], tmp_path, tmp_path / "judging")
    assert (same.loss_val, same.loss_test, same.size_ratio) == (0.0, 0.0, 1.0)
    assert same.on_engine.metric_name == "top1_agreement"
    assert (
        same.on_engine.metric_test == (1.0, 1.0)
        and same.latency_ratio == same.on_engine.latency_ratio
    )
    assert smaller.size_ratio < 1 and smaller.loss_test > 0.1
    assert smaller.on_engine.latency_ms[0] == same.on_engine.latency_ms[0] > 0
    assert smaller.on_engine.untrained_ms <= smaller.on_engine.latency_ms[0]
    assert not none.delivered and none.on_engine is None and none.latency_ratio == 1.0


def test_the_shipped_files_are_loaded_and_stay_as_they_are(problem, tmp_path):
    before = {f.name: f.read_bytes() for f in problem.exported.shipped(tmp_path).iterdir()}
    found = Jury(problem, tmp_path, tmp_path / "judging").baseline("onednn")
    assert found.size_bytes == sum(
        len(before[name]) for name in ("inference.pdmodel", "inference.pdiparams")
    )
    after = {f.name: f.read_bytes() for f in problem.exported.shipped(tmp_path).iterdir()}
    assert after == before
