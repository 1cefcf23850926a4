"""Weights that fit are read, loaded and written; weights that do not fit are refused."""

import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from tests.trainables.weight_files import SUFFIXES, build, refusal, same, save
from trainables.remarks import collected
from trainables.weights import (
    fingerprint,
    load_weights,
    model_weights,
    read_weights,
    set_weights,
    write_weights,
)


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_come_back_from_every_kind_of_file(tmp_path, model, suffix):
    path = save(tmp_path / f"weights{suffix}", model_weights(model))
    assert same(read_weights(path), model_weights(model))

    other = build(seed=1)
    assert not same(model_weights(other), model_weights(model))
    load_weights(other, path)
    assert same(model_weights(other), model_weights(model))


def test_a_state_dict_that_paddle_saved_is_read(tmp_path, model):
    import paddle

    path = tmp_path / "weights.pdparams"
    paddle.save(model.state_dict(), str(path))
    # Paddle puts more than arrays into it.
    assert "StructuredToParameterName@@" in path.read_bytes().decode("latin-1")
    assert same(read_weights(path), model_weights(model))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_that_paddle_offers_is_read(tmp_path, model, protocol):
    import paddle

    path = tmp_path / "weights.pdparams"
    paddle.save(model.state_dict(), str(path), protocol=protocol)
    assert same(read_weights(path), model_weights(model))


def test_tensors_wrapped_with_their_names_are_read(tmp_path):
    """Paddle saves a tensor outside of a Layer's state dict as (name, array)."""
    array = np.ones((2, 3), np.float32)
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps(OrderedDict(a=("linear_0.w_0", array), b=array), protocol=4))
    assert same(read_weights(path), {"a": array, "b": array})


def test_wrong_shapes_are_refused(tmp_path, model):
    path = save(tmp_path / "weights.safetensors", model_weights(build(width=5)))
    before = model_weights(model)
    text = refusal(load_weights, model, path)
    assert str(path) in text
    assert "0.weight" in text
    assert "(4, 5)" in text
    assert "(4, 3)" in text
    assert same(model_weights(model), before)


@pytest.mark.parametrize("name", ["0.bias", "1._mean"])
def test_a_missing_parameter_or_buffer_is_refused(tmp_path, model, name):
    arrays = model_weights(model)
    del arrays[name]
    path = save(tmp_path / "weights.npz", arrays)
    text = refusal(load_weights, model, path)
    assert str(path) in text
    assert name in text


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "object", "str"])
def test_another_dtype_is_refused(tmp_path, dtype):
    """No dtype is converted."""
    model = build()
    arrays = model_weights(model)
    arrays["0.weight"] = arrays["0.weight"].astype(dtype)
    path = save(tmp_path / "weights.pdparams", arrays)
    assert str(path) in refusal(load_weights, model, path)


def test_extra_arrays_are_ignored_when_set(model):
    other = build(seed=1)
    set_weights(other, {**model_weights(model), "epoch": np.array(3)})
    assert same(model_weights(other), model_weights(model))


ONE = np.ones(3, np.float32)


def test_harmless_arrays_are_remarked_on(tmp_path, model):
    arrays = {**model_weights(model), "0.weight_velocity_0": ONE, "rpn_head.conv.weight": ONE}
    path = save(tmp_path / "weights.pdparams", arrays)
    with collected() as remarks:
        load_weights(build(seed=1), path, elsewhere=("rpn_head.",))
    assert remarks == [
        f"weights {path}: 2 of its {len(arrays)} arrays are not used: "
        "1 of the optimizer, 1 of parts that stay as they are"
    ]


def test_arrays_of_another_models_layers_are_refused(tmp_path, model):
    path = save(tmp_path / "weights.npz", {**model_weights(model), "0.gate.weight": ONE})
    fresh = build(seed=1)
    before = model_weights(fresh)
    text = refusal(load_weights, fresh, path)
    assert "1 of its 7 arrays are not the model's, such as 0.gate.weight" in text
    assert same(model_weights(fresh), before)


def test_a_model_under_a_prefix_is_loaded(tmp_path, model):
    arrays = {f"Student.{name}": array for name, array in model_weights(model).items()}
    path = save(tmp_path / "weights.pdparams", {**arrays, "Teacher.other.weight": ONE})
    other = build(seed=1)
    with collected() as remarks:
        load_weights(other, path)
    assert same(model_weights(other), model_weights(model))
    assert "those that begin with 'Student.'" in remarks[0] and "1 of a teacher" in remarks[1]


def test_gates_that_the_network_lacks_are_refused(tmp_path):
    """PaddleOCR's `disable_se`: all of the plain network's arrays are in the gated one's file."""
    from trainables.tasks.paddleocr.db_network import DBNetwork

    gated = DBNetwork("small", 0.35, True, 32)
    path = save(tmp_path / "weights.pdparams", model_weights(gated))
    text = refusal(load_weights, DBNetwork("small", 0.35, False, 32), path)
    assert "arrays are not the model's, such as backbone.stage" in text


def test_the_weights_of_a_model_are_a_copy():
    model = build()
    taken = model_weights(model)
    before = taken["0.weight"].copy()
    set_weights(model, {name: array + 1 for name, array in taken.items()})
    assert np.array_equal(taken["0.weight"], before)


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from trainables.weights import write_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
write_weights(Path(sys.argv[1]), {"a": np.zeros(100_000, np.float32)})
"""


def test_weights_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"a": np.ones(3, np.float32)})
    filling = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(path)], capture_output=True, check=False
    )
    assert filling.returncode != 0
    assert b"setrlimit" not in filling.stderr
    assert same(read_weights(path), {"a": np.ones(3, np.float32)})


def test_views_are_written_with_their_strides(tmp_path):
    """Safetensors alone would write the memory of an array and ignore its strides."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"turned": array.T, "thinned": array[:, ::2]})
    assert same(read_weights(path), {"turned": array.T, "thinned": array[:, ::2]})


def test_a_fingerprint_is_of_names_shapes_kinds_and_contents():
    ones = np.ones((2, 3), np.float32)
    different = [
        {"a": ones},
        {"b": ones},
        {"a": ones.reshape(3, 2)},
        {"a": ones.view(np.int32)},
        {"a": 2 * ones},
        {"a": ones, "b": ones},
        {},
    ]
    assert len({fingerprint(arrays) for arrays in different}) == len(different)
    assert fingerprint({"a": ones, "b": 2 * ones}) == fingerprint({"b": 2 * ones, "a": ones})
    assert fingerprint({"a": ones.T}) == fingerprint({"a": np.ascontiguousarray(ones.T)})
