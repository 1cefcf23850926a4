"""A small network, its weights in files of every format, and the refusal of such a file."""

import pickle

import numpy as np
import pytest

from spaces.errors import WeightsError
from trainables.weights import write_weights

SUFFIXES = (".safetensors", ".npz", ".pdparams")


def build(seed=0, width=3):
    """A small network that has parameters and buffers."""
    import paddle

    paddle.seed(seed)
    return paddle.nn.Sequential(paddle.nn.Linear(4, width), paddle.nn.BatchNorm1D(width))


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
