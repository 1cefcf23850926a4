"""Weights files that are malicious, damaged or of another format: refused, never executed."""

import pickle

import numpy as np
import pytest

from tests.trainables.weight_files import SUFFIXES, build, refusal, save
from trainables.weights import model_weights, read_weights


@pytest.fixture(scope="module")
def model():
    return build()


class Malicious:
    """Unpickling it makes a file, which tests check for."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return open, (str(self.proof), "w")


class Named:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_the_malicious_pickle_does_harm_with_pickle_alone(tmp_path):
    """Shows that the tests below can fail."""
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
def test_functions_that_could_run_code_are_refused(tmp_path, function):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(pickle.dumps({"w": Named(function, "0")}, protocol=2))
    assert "the pickle names" in refusal(read_weights, path)


def test_attributes_of_admitted_names_are_refused(tmp_path):
    """Protocol 4 resolves dotted names attribute by attribute."""
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


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_was_cut_short_is_refused(tmp_path, model, suffix, share):
    path = save(tmp_path / f"weights{suffix}", model_weights(model))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
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
    """The second is a persistent id, as in torch's pickles."""
    path = tmp_path / "weights.pdparams"
    path.write_bytes(content)
    assert str(path) in refusal(read_weights, path)
