import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from spaces.errors import WeightsError
from trainables.remarks import collected
from trainables.weights import (
    fingerprint,
    load_weights,
    model_weights,
    read_weights,
    set_weights,
    write_weights,
)

SUFFIXES = (".safetensors", ".npz", ".pdparams")


def build(seed=0, width=3):
    """A small network that has parameters and buffers."""
    import paddle

    paddle.seed(seed)
    return paddle.nn.Sequential(paddle.nn.Linear(4, width), paddle.nn.BatchNorm1D(width))


@pytest.fixture(scope="module")
def model():
    return build()


def save(path, arrays):
    """Save arrays in the kind of file that the suffix says, the way users do."""
    if path.suffix == ".safetensors":
        write_weights(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


def refusal(call, *arguments):
    """Return what the WeightsError of a call says, which is always one line."""
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


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


class Malicious:
    """Unpickling it makes a file, which a test can see."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return open, (str(self.proof), "w")


class Named:
    """Unpickling it calls whatever function it was made with."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_the_malicious_pickle_would_do_harm_elsewhere(tmp_path):
    """Otherwise the tests below prove nothing."""
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Malicious(proof))).close()
    assert proof.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["alone", "beside arrays", "inside an array"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, protocol, place):
    proof, path = tmp_path / "proof", tmp_path / "weights.pdparams"
    evil = Malicious(proof)
    content = {
        "alone": evil,
        "beside arrays": {"w": np.ones(3), "evil": evil},
        "inside an array": {"w": np.array([evil], dtype=object)},
    }[place]
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    text = refusal(read_weights, path)
    assert str(path) in text
    assert "open" in text
    assert ".safetensors" in text
    assert not proof.exists()


@pytest.mark.parametrize("function", [eval, exec, __import__, getattr, np.load, pickle.loads])
def test_whatever_could_lead_on_is_refused(tmp_path, function):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps({"w": Named(function, "0")}, protocol=2))
    assert "the pickle names" in refusal(read_weights, path)


def test_an_admitted_name_leads_to_no_other_one(tmp_path):
    """Protocol 4 looks dotted names up attribute by attribute."""
    path = tmp_path / "weights.pdparams"
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93."
    path.write_bytes(dotted)
    assert "numpy.ndarray.__init__" in refusal(read_weights, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_pickle_under_another_suffix_is_not_executed(tmp_path, suffix):
    proof, path = tmp_path / "proof", tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps(Malicious(proof)))
    assert str(path) in refusal(read_weights, path)
    assert not proof.exists()


def test_a_pickle_inside_npz_is_not_executed(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "weights.npz"
    np.savez(path, w=np.array([Malicious(proof)], dtype=object))
    assert str(path) in refusal(read_weights, path)
    assert not proof.exists()


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_was_cut_short_is_refused(tmp_path, model, suffix, kept):
    path = save(tmp_path / f"weights{suffix}", model_weights(model))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert str(path) in refusal(read_weights, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_something_else_is_refused(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_text("<html>404 not found</html>\n")
    assert str(path) in refusal(read_weights, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_and_a_folder_are_refused(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    assert str(path) in refusal(read_weights, path)
    path.mkdir()
    assert str(path) in refusal(read_weights, path)


@pytest.mark.parametrize("name", ["weights.pth", "weights"])
def test_another_kind_of_file_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"something")
    text = refusal(read_weights, path)
    assert str(path) in text
    assert ".safetensors" in text


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}])
def test_a_pickle_without_arrays_is_refused(tmp_path, content):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps(content))
    assert str(path) in refusal(read_weights, path)


@pytest.mark.parametrize("damage", ["data", "method"])
def test_a_damaged_npz_is_refused(tmp_path, model, damage):
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **model_weights(model))
    content = bytearray(path.read_bytes())
    if damage == "data":
        # The first member's stream begins behind its header of 30 bytes, name and extra.
        start = 30 + int.from_bytes(content[26:28], "little")
        start += int.from_bytes(content[28:30], "little")
        content[start] = 0xFF
    else:
        # The compression method stands 10 bytes into an entry of the central directory.
        content[content.index(b"PK\x01\x02") + 10] = 77
    path.write_bytes(bytes(content))
    assert str(path) in refusal(read_weights, path)


@pytest.mark.parametrize(
    "content", [b"\x80\x04\x95" + b"\xff" * 8 + b"}.", b"\x80\x02Pstorage\n."], ids=["size", "id"]
)
def test_a_damaged_pickle_is_refused_in_one_line(tmp_path, content):
    """The second one is how torch's pickles refer to their tensors."""
    path = tmp_path / "weights.pdparams"
    path.write_bytes(content)
    assert str(path) in refusal(read_weights, path)


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
    """One that can be converted might be, of course; then this test has to change."""
    model = build()
    arrays = model_weights(model)
    arrays["0.weight"] = arrays["0.weight"].astype(dtype)
    path = save(tmp_path / "weights.pdparams", arrays)
    assert str(path) in refusal(load_weights, model, path)


def test_what_the_model_has_not_is_passed_over(model):
    other = build(seed=1)
    set_weights(other, {**model_weights(model), "epoch": np.array(3)})
    assert same(model_weights(other), model_weights(model))


ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["linear_0.w_0_moment1_0", "linear_0.w_0_beta1_pow_acc_0", "LR_Scheduler.last"], "3 of"),
        (["0.weight_velocity_0"], "1 of the optimizer"),
        (["1.num_batches_tracked", "0.attn_mask"], "2 buffers"),
        (["ema.0.weight", "0.bias_ema", "0.bias@EMA"], "3 averages of the model's"),
        (["Teacher.0.weight", "teacher.conv.weight", "Student2.0.weight"], "3 of a teacher"),
        (["aux_head.conv.weight", "auxlayer1.bias", "head.aux_conv.weight"], "for training only"),
        (["rpn_head.conv.weight"], "1 of parts that stay as they are"),
    ],
)
def test_arrays_that_change_nothing_are_counted_and_said(tmp_path, model, names, said):
    arrays = {**model_weights(model), **dict.fromkeys(names, ONE)}
    path = save(tmp_path / "weights.pdparams", arrays)
    with collected() as remarks:
        load_weights(build(seed=1), path, elsewhere=("rpn_head.",))
    (line,) = remarks
    assert f"{len(names)} of its {len(arrays)} arrays are not used" in line and said in line


@pytest.mark.parametrize(
    "name", ["0.gate.weight", "2.weight", "0.weight_scale", "neck.conv.weight", "Student.0.weight"]
)
def test_arrays_of_another_models_layers_are_refused(tmp_path, model, name):
    path = save(tmp_path / "weights.npz", {**model_weights(model), name: ONE})
    fresh = build(seed=1)
    before = model_weights(fresh)
    text = refusal(load_weights, fresh, path)
    assert f"1 of its 7 arrays are not the model's, such as {name}" in text
    assert same(model_weights(fresh), before)


@pytest.mark.parametrize("prefix", ["Student.", "_layers.", "module."])
def test_a_whole_model_under_a_prefix_is_found(tmp_path, model, prefix):
    """A distillation's student, or what was wrapped for several devices."""
    arrays = {f"{prefix}{name}": array for name, array in model_weights(model).items()}
    arrays["Teacher.other.weight"] = ONE
    path = save(tmp_path / "weights.pdparams", arrays)
    other = build(seed=1)
    with collected() as remarks:
        load_weights(other, path)
    assert same(model_weights(other), model_weights(model))
    assert f"those that begin with '{prefix}'" in remarks[0] and "1 of a teacher" in remarks[1]


def test_gates_that_the_network_lacks_are_not_passed_over(tmp_path):
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


def test_views_are_written_as_what_they_show(tmp_path):
    """Safetensors itself writes the memory of an array, whatever its strides."""
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
