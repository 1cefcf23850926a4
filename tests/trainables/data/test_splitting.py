import numpy as np
import pytest

from trainables.data.splitting import halves, rarest


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1] * 10,
        [0, 1, 2] * 7,
        [0] * 9 + [1] * 3,
        [0, 0, 1, 1] * 5,
        list(range(9)),
        [None] * 11,
        ["a", None, 3] * 4,
        np.random.default_rng(0).integers(0, 5, 200).tolist(),
    ],
)
def test_every_class_is_split_evenly(labels):
    one, other = halves(labels)
    assert sorted(one + other) == list(range(len(labels)))
    assert one == sorted(one) and other == sorted(other)
    assert 0 <= len(one) - len(other) <= 1
    for label in set(labels):
        counts = [sum(labels[place] == label for place in half) for half in (one, other)]
        assert abs(counts[0] - counts[1]) <= 1
    assert halves(labels) == (one, other)


@pytest.mark.parametrize("period", [2, 3, 4, 5])
def test_what_alternates_within_a_class_is_in_both_halves(period):
    """As cameras, or an image and the same one mirrored."""
    cameras = np.arange(60) % period
    for half in halves([0] * 60):
        assert len(set(cameras[half])) == period


def test_the_rarest_class_of_each_sample():
    samples = [["car"], ["car", "dog"], ["car", "cat", "cat"], [], ["dog", "car"]]
    assert rarest(samples) == ["car", "dog", "cat", None, "dog"]
