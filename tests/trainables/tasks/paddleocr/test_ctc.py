import itertools

import numpy as np
import paddle
import pytest

from trainables.data.characters import Characters
from trainables.tasks.paddleocr.ctc import columns_needed, ctc_loss, ctc_targets


def chance_of(text, chances):
    """Return the chance of a text: the sum over all paths of columns that say it."""
    characters = Characters(("a", "b"))
    return sum(
        np.prod([chances[column, one] for column, one in enumerate(path)])
        for path in itertools.product(range(3), repeat=len(chances))
        if characters.text(path) == text
    )


@pytest.mark.parametrize("is_focal", [False, True])
def test_the_loss_is_the_log_of_the_chance_over_all_paths(is_focal):
    scores = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    chances = np.exp(scores) / np.exp(scores).sum(2, keepdims=True)
    found = [chance_of(text, row) for text, row in zip(("ab", "aa"), chances, strict=True)]
    weights = [(1 - chance) ** 2 if is_focal else 1 for chance in found]
    expected = np.mean([-np.log(p) * w for p, w in zip(found, weights, strict=True)])
    targets = ctc_targets([[1, 2], [1, 1]])
    loss = ctc_loss(paddle.to_tensor(scores), targets, is_focal)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_targets_are_filled_up_to_the_longest():
    targets = ctc_targets([[3], [1, 2, 1]])
    assert targets.classes.tolist() == [[3, 0, 0], [1, 2, 1]]
    assert targets.lengths.tolist() == [1, 3]


@pytest.mark.parametrize(("text", "needed"), [([], 0), ([1, 2], 2), ([1, 1, 1, 2], 6)])
def test_equal_neighbours_need_a_blank_between_them(text, needed):
    assert columns_needed(text) == needed
