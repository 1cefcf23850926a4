import numpy as np
import paddle
import pytest

from trainables.tasks.paddleocr.db_loss import DBLoss, balanced_cross_entropy, dice_loss
from trainables.tasks.paddleocr.db_targets import DBTargets

TEXT = paddle.to_tensor([[[1.0, 1.0, 0.0, 0.0]]])
ALL = paddle.ones([1, 1, 4])


def test_the_dice_loss_is_0_for_equal_maps_and_1_for_disjoint_ones():
    assert float(dice_loss(TEXT, TEXT, ALL)) == pytest.approx(0, abs=1e-5)
    assert float(dice_loss(1 - TEXT, TEXT, ALL)) == pytest.approx(1)


def test_cross_entropy_takes_the_hardest_of_the_other_pixels():
    text = paddle.to_tensor([[[1.0, 0.0, 0.0, 0.0]]])
    predicted = paddle.to_tensor([[[0.9, 0.8, 0.3, 0.1]]])
    expected = -(np.log(0.9) + np.log(0.2)) / 2
    assert float(balanced_cross_entropy(predicted, text, ALL, 1.0)) == pytest.approx(expected, 1e-4)
    ignored = paddle.to_tensor([[[1.0, 0.0, 1.0, 1.0]]])
    expected = -(np.log(0.9) + np.log(0.7)) / 2
    assert float(balanced_cross_entropy(predicted, text, ignored, 1.0)) == pytest.approx(
        expected, 1e-4
    )


@pytest.mark.parametrize("negative_ratio", [3.0, None])
def test_perfect_maps_lose_nothing_and_each_map_counts(negative_ratio):
    targets = DBTargets(TEXT, ALL, paddle.full([1, 1, 4], 0.5), TEXT)
    perfect = paddle.stack([TEXT, targets.thresholds, TEXT], 1)
    loss = DBLoss(negative_ratio=negative_ratio)
    assert float(loss(perfect, targets)) == pytest.approx(0, abs=1e-4)
    for index in range(3):
        wrong = perfect.clone()
        wrong[:, index] = 0.25
        assert float(loss(wrong, targets)) > 0.1


def test_in_evaluation_the_loss_is_that_of_the_cores():
    targets = DBTargets(TEXT, ALL, TEXT, TEXT)
    loss = DBLoss(alpha=2.0, negative_ratio=None)
    assert float(loss(1 - TEXT[:, None], targets)) == pytest.approx(2)
