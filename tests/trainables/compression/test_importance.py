import numpy as np
import pytest

from trainables.compression.importance import CRITERIA

ROWS = np.array([[3.0, -4.0], [0.0, 0.0], [3.0, 4.0], [3.0, -4.5]])


@pytest.mark.parametrize(
    ("criterion", "scores"),
    [
        ("l1_norm", [7, 0, 7, 7.5]),
        ("l2_norm", [5, 0, 5, np.hypot(3, 4.5)]),
    ],
)
def test_norms(criterion, scores):
    assert CRITERIA[criterion](ROWS) == pytest.approx(scores)


def test_the_geometric_median_is_the_summed_distance_to_all_channels():
    scores = CRITERIA["geometric_median"](ROWS)
    expected = [np.hypot(*(ROWS - row).T).sum() for row in ROWS]
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_one_score_per_channel_and_none_negative(criterion):
    scores = CRITERIA[criterion](np.random.default_rng(0).standard_normal((7, 12)))
    assert scores.shape == (7,) and (scores >= 0).all()
