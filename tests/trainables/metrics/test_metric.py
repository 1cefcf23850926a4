import numpy as np
import pytest

from trainables.metrics import MeanIoU, TopOneAccuracy, loss_standard_error, relative_loss


class MeanError:
    """A metric to minimise whose statistics are the errors themselves."""

    name = "error"
    maximize = False

    def sample_statistics(self, outputs, targets):
        return np.abs(outputs[0] - targets)

    def aggregate(self, statistics):
        return float(statistics.mean())


ACCURACY, ERROR = TopOneAccuracy(), MeanError()
SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])


@pytest.mark.parametrize("targets", [[1, 0, 0, 1], np.array([[1], [0], [0], [1]])])
def test_accuracy_is_the_share_of_highest_scores_that_are_the_label(targets):
    statistics = ACCURACY.sample_statistics([SCORES], targets)
    assert statistics.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert ACCURACY.aggregate(statistics) == 0.5
    assert isinstance(ACCURACY.aggregate(statistics), float)


def test_accuracy_looks_at_the_first_output_alone():
    statistics = ACCURACY.sample_statistics([SCORES, -SCORES], [1, 0, 1, 0])
    assert statistics.tolist() == [1.0, 1.0, 1.0, 1.0]


def scores_of(labels, classes=3):
    """Return scores, shape (n, classes, h, w), that are highest at these labels."""
    return np.moveaxis(np.eye(classes)[np.asarray(labels)], -1, 1)


def test_mean_iou_counts_pixels_over_all_samples():
    targets = np.array([[[0, 0], [1, 1]], [[0, 0], [0, 1]]])
    predicted = [[[0, 1], [1, 1]], [[0, 0], [1, 0]]]
    metric = MeanIoU(2)
    statistics = metric.sample_statistics([scores_of(predicted, 2)], targets)
    assert statistics.tolist() == [[[1, 2], [2, 3]], [[2, 0], [4, 2]]]
    assert metric.aggregate(statistics) == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert metric.aggregate(statistics[:1]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert isinstance(metric.aggregate(statistics), float)
    assert (metric.name, metric.maximize) == ("mean_iou", True)


def test_mean_iou_ignores_a_class_that_does_not_occur():
    targets = np.array([[[0, 0], [1, 1]]])
    metric = MeanIoU(3)
    right = metric.sample_statistics([scores_of(targets)], targets)
    assert metric.aggregate(right) == 1.0
    # Predicted but not in the labels, it has an IoU of 0.
    wrong = metric.sample_statistics([scores_of([[[0, 0], [1, 2]]])], targets)
    assert metric.aggregate(wrong) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_mean_iou_has_a_standard_error():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (50, 4, 4))
    baseline, candidate = (
        MeanIoU(2).sample_statistics(
            [scores_of(np.where(rng.random(targets.shape) < share, 1 - targets, targets), 2)],
            targets,
        )
        for share in (0.1, 0.2)
    )
    assert 0 < loss_standard_error(MeanIoU(2), baseline, candidate) < 0.1


@pytest.mark.parametrize(
    ("metric", "baseline", "candidate", "loss"),
    [
        (ACCURACY, 0.8, 0.6, 0.25),
        (ACCURACY, 0.8, 1.0, -0.25),
        (ACCURACY, 0.8, 0.8, 0.0),
        (ERROR, 0.8, 1.0, 0.25),
        (ERROR, 0.8, 0.6, -0.25),
        # A metric below 0, such as a log likelihood, keeps its direction.
        (ACCURACY, -2.0, -3.0, 0.5),
        (ERROR, -2.0, -3.0, -0.5),
    ],
)
def test_the_relative_loss_is_above_0_where_the_candidate_is_worse(
    metric, baseline, candidate, loss
):
    assert relative_loss(metric, baseline, candidate) == pytest.approx(loss)


def test_a_baseline_of_0_has_no_relative_loss():
    with pytest.raises(ValueError, match="top1_accuracy is 0"):
        relative_loss(ACCURACY, 0.0, 0.5)


def outcomes(seed, samples=2000, disagreement=0.1):
    """Return the outcomes of a model, and of one that disagrees on some samples."""
    rng = np.random.default_rng(seed)
    baseline = (rng.random(samples) < 0.8).astype(float)
    flipped = rng.random(samples) < disagreement
    return baseline, np.where(flipped, 1 - baseline, baseline)


def test_the_standard_error_is_what_the_loss_varies_by_over_other_samples():
    losses = []
    for seed in range(300):
        baseline, candidate = outcomes(seed)
        losses.append(relative_loss(ACCURACY, baseline.mean(), candidate.mean()))
    baseline, candidate = outcomes(1000)
    found = loss_standard_error(ACCURACY, baseline, candidate)
    assert found == pytest.approx(np.std(losses), rel=0.2)


def test_pairing_makes_the_standard_error_small():
    baseline, candidate = outcomes(0, disagreement=0.02)
    paired = loss_standard_error(ACCURACY, baseline, candidate)
    shuffled = np.random.default_rng(1).permutation(candidate)
    assert paired < 0.5 * loss_standard_error(ACCURACY, baseline, shuffled)


def test_a_model_has_no_error_beside_itself():
    baseline, _ = outcomes(0)
    assert loss_standard_error(ACCURACY, baseline, baseline) == 0.0


def test_the_standard_error_is_the_same_every_time():
    baseline, candidate = outcomes(0)
    once = loss_standard_error(ACCURACY, baseline, candidate)
    assert loss_standard_error(ACCURACY, baseline, candidate) == once


def test_statistics_may_have_several_columns():
    rng = np.random.default_rng(0)
    baseline = rng.random((500, 3)) + 1.0
    assert loss_standard_error(ERROR, baseline, baseline + rng.random((500, 3))) > 0


def test_statistics_of_different_samples_cannot_be_paired():
    with pytest.raises(ValueError, match="3 and 4 samples"):
        loss_standard_error(ACCURACY, np.ones(3), np.ones(4))


def test_resamples_in_which_the_baseline_is_always_wrong_are_skipped():
    """Two samples, one of them right: a quarter of the resamples has a metric of 0."""
    found = loss_standard_error(ACCURACY, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert np.isfinite(found)
    assert found > 0
