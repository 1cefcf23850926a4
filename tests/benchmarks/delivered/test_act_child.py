"""The copy of an exported model that AutoCompression can train."""

import numpy as np
import paddle
import pytest

from benchmarks.delivered.methods.act_child import trainable_copy
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float
from trainables.deployment.exported import MODEL_FILE
from trainables.task import ModelInput

SPEC = ModelInput(name="x", shape=(2, 4, 4))


class Sums(paddle.nn.Layer):
    """Its sums are variables named tmp_0 and tmp_1 in an export."""

    def __init__(self):
        super().__init__()
        self.first = paddle.nn.Conv2D(2, 2, 3, padding=1)
        self.norm = paddle.nn.BatchNorm2D(2)

    def forward(self, x):
        return self.norm(self.first(x) + x) + x


@pytest.fixture
def export(tmp_path):
    paddle.seed(0)
    with paddle.utils.unique_name.guard():
        export_float(Sums(), [SPEC], tmp_path / "export")
    return tmp_path / "export"


def read(folder):
    """Return the names of an export's variables, and which statistics its normalization uses."""
    # Its blocks are freed with it.
    program = paddle.base.core.ProgramDesc((folder / MODEL_FILE).read_bytes())
    block = program.block(0)
    operators = [block.op(index) for index in range(block.op_size())]
    frozen = [op.attr("use_global_stats") for op in operators if op.type() == "batch_norm"]
    return [variable.name() for variable in block.all_vars()], frozen


def test_sums_get_other_names_and_batch_norm_learns_its_statistics(export, tmp_path):
    names, _ = read(export)
    assert any(name.startswith("tmp_") for name in names)
    trainable_copy(export, tmp_path / "copy")
    names, frozen = read(tmp_path / "copy")
    assert not any(name.startswith("tmp_") for name in names)
    assert frozen == [False]


def test_the_copy_computes_the_same(export, tmp_path):
    trainable_copy(export, tmp_path / "copy")
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype("float32")
    (before,), (after,) = (
        PaddleEngine(f, "float", 1).run([x]) for f in (export, tmp_path / "copy")
    )
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
