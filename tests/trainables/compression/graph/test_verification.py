"""Comparing the outputs of two models."""

import numpy as np
import paddle
import pytest

from trainables.compression.graph.verification import (
    CONSTANT,
    DIFFERENT,
    NOT_FINITE,
    SHAPES,
    disagreement,
    in_double_precision,
    random_samples,
    task_samples,
)
from trainables.task import Batch, ModelInput

RISING = np.arange(8, dtype="f4").reshape(2, 4)
BIASED = 1000.0 * RISING[0] + 1e-3 * RISING.astype("f8")


@pytest.mark.parametrize(
    ("found", "expected", "reason"),
    [
        ([RISING], [RISING], None),
        ([RISING * (1 + 1e-6)], [RISING], None),
        ([RISING + 0.1], [RISING], DIFFERENT),
        # The samples' spread is smaller than the difference.
        ([BIASED + 0.01], [BIASED], DIFFERENT),
        ([RISING[:, :2]], [RISING], SHAPES),
        ([RISING, RISING], [RISING], SHAPES),
        ([np.full_like(RISING, np.nan)], [np.full_like(RISING, np.nan)], NOT_FINITE),
        ([RISING[:1].repeat(2, 0)], [RISING[:1].repeat(2, 0)], CONSTANT),
        ([np.zeros((2, 4), "f4")], [np.zeros((2, 4), "f4")], CONSTANT),
        # One output that depends on the sample is enough, and the others are compared too.
        ([RISING, np.ones(3, "f4")], [RISING, np.ones(3, "f4")], None),
        ([RISING, np.ones(3, "f4")], [RISING, np.full(3, 1.1, "f4")], DIFFERENT),
        ([RISING.astype(int)], [RISING.astype(int)], None),
        ([RISING.astype(int)], [RISING.astype(int) + 1], DIFFERENT),
    ],
)
def test_the_reason_of_a_disagreement(found, expected, reason):
    assert disagreement(found, expected) == reason


class Given:
    """A task with these batches of samples."""

    inputs = (ModelInput("x", (3,)),)

    def __init__(self, *batches):
        self.batches = batches

    def eval_batches(self, split, size):
        assert split == "val"
        return (Batch((batch,), None) for batch in self.batches)


def test_the_samples_of_a_task_differ_if_possible():
    same, other = np.ones((2, 3), "f4"), np.zeros((1, 3), "f4")
    (samples,) = task_samples(Given(same, same, other))
    assert samples.tolist() == [[1, 1, 1], [0, 0, 0]]
    (mirrored,) = task_samples(Given(np.arange(3, dtype="f4")[None]))
    assert mirrored.tolist() == [[0, 1, 2], [2, 1, 0]]


def test_random_integers_are_0_or_1():
    samples = random_samples((ModelInput("words", (50,), "int64"), ModelInput("x", (5,))))
    assert set(samples[0].ravel().tolist()) == {0, 1}
    assert [array.dtype for array in samples] == ["int64", "float32"]


def test_double_precision_ends_with_the_context():
    model = paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 3), paddle.nn.BatchNorm2D(2))
    model.eval()
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 5))
    before = model(paddle.to_tensor(x.astype("f4"))).numpy()
    with pytest.raises(ValueError, match="on the way"), in_double_precision(model):
        assert model(paddle.to_tensor(x)).dtype == paddle.float64
        raise ValueError("on the way")
    after = model(paddle.to_tensor(x.astype("f4"))).numpy()
    assert after.dtype == np.float32 and np.array_equal(before, after)
    assert paddle.get_default_dtype() == "float32"
