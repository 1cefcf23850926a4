import shutil

import numpy as np
import paddle
import pytest

from spaces.errors import TaskError
from tests.trainables.compression.networks import IMAGE, Residual
from tests.trainables.tasks.exported.exports import export
from trainables.tasks.exported.program import find_files, read_program

PROGRAM, WEIGHTS = "inference.pdmodel", "inference.pdiparams"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    paddle.seed(0)
    return export(Residual(), IMAGE, tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def refusal(model):
    with pytest.raises(TaskError) as caught:
        read_program(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_program_as_data(model):
    program = read_program(model)
    (fed,) = program.inputs
    assert (fed.name, fed.shape, fed.dtype) == ("image", (-1, 3, 16, 16), "float32")
    assert [op.type for op in program.operations][:2] == ["conv2d", "conv2d"]
    assert {a.shape for a in program.weights.values()} >= {(8, 3, 3, 3), (6, 8, 3, 3), (8, 4)}
    assert program.shapes[program.outputs[0]] == (-1, 4)


def test_a_program_is_named_by_its_folder_or_by_its_file(model):
    assert find_files(model) == find_files(model / PROGRAM) == (model / PROGRAM, model / WEIGHTS)
    shutil.copy(model / PROGRAM, model / "other.pdmodel")
    assert "several programs" in refusal(model)
    assert read_program(model / PROGRAM).inputs


def test_missing_files(model, tmp_path):
    assert "no .pdmodel file" in refusal(tmp_path / "nothing")
    (model / WEIGHTS).unlink()
    assert "copy the weights" in refusal(model)
    (model / PROGRAM).unlink()
    assert "no .pdmodel file" in refusal(model)


@pytest.mark.parametrize("share", (0.0, 0.3, 0.9, 0.999))
def test_truncated_files(model, share):
    for name, said in ((WEIGHTS, "program's weights"), (PROGRAM, "not an exported Paddle program")):
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[: int(share * len(content))])
        assert said in refusal(model)


@pytest.mark.parametrize("name", (WEIGHTS, PROGRAM))
def test_encrypted_and_foreign_files(model, name):
    size = (model / name).stat().st_size
    for content in (np.random.default_rng(0).bytes(size), b"\x80\x04K\x01.", b"{}" * size):
        (model / name).write_bytes(content)
        refusal(model)


def test_weights_of_another_model_and_some_too_many(model, tmp_path):
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content + content[:100])
    assert "another model's" in refusal(model)
    paddle.seed(0)
    other = export(paddle.nn.Sequential(paddle.nn.Conv2D(3, 5, 3)), IMAGE, tmp_path / "other")
    shutil.copy(other / WEIGHTS, model / WEIGHTS)
    assert "another model's" in refusal(model)
