"""Metrics for tasks, and a metric's relative loss with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spaces.errors import TaskError
from trainables.task import Matching, Metric

# Resamples of the bootstrap. Its standard error is itself exact to 1 / sqrt(2 * 400) = 3.5 %.
RESAMPLES = 400


class TopOneAccuracy:
    """Share of samples whose label has the highest score."""

    name = "top1_accuracy"
    maximize = True
    distillation: Matching = "class_scores"

    def sample_statistics(self, outputs: Sequence[np.ndarray], targets: Any) -> np.ndarray:
        """Return 1.0 where right, else 0.0, shape (n,); `outputs[0]` has shape (n, classes)."""
        return (np.argmax(outputs[0], axis=1) == np.asarray(targets).reshape(-1)).astype(float)

    def aggregate(self, statistics: np.ndarray) -> float:
        return float(statistics.mean())


class MeanIoU:
    """Mean over the classes of intersection over union, of highest scores and labels.

    A class's pixels are summed over all samples before the ratio is taken, so samples without the
    class have no effect.
    """

    name = "mean_iou"
    maximize = True
    distillation: Matching = "class_scores"

    def __init__(self, classes: int, ignored: int | None = None) -> None:
        """Pixels with the label `ignored` do not count."""
        self.classes = classes
        self.ignored = ignored

    def sample_statistics(self, outputs: Sequence[np.ndarray], targets: Any) -> np.ndarray:
        """Return the pixels in intersection and in union by class, shape (n, 2, classes).

        `outputs[0]` has shape (n, classes, h, w), `targets` (n, h, w).
        """
        predicted, labels = np.argmax(outputs[0], axis=1), np.asarray(targets)
        if self.ignored is not None:
            # -1 is no class.
            predicted = np.where(labels == self.ignored, -1, predicted)
        counts = np.empty((len(labels), 2, self.classes))
        for label in range(self.classes):
            found, wanted = predicted == label, labels == label
            counts[:, 0, label] = (found & wanted).sum((1, 2))
            counts[:, 1, label] = (found | wanted).sum((1, 2))
        return counts

    def aggregate(self, statistics: np.ndarray) -> float:
        """Return the mean over the classes that occur in labels or outputs."""
        intersection, union = statistics.sum(0)
        occurs = union > 0
        return float((intersection[occurs] / union[occurs]).mean())


def metric_value(metric: Metric, statistics: np.ndarray) -> float:
    """Return the metric over samples as a float. Raises TaskError if it is not a number."""
    value = metric.aggregate(statistics)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"metric {metric.name}: aggregate gives {type(value).__name__}, a number is expected"
        ) from error


def relative_loss(metric: Metric, baseline: float, candidate: float) -> float:
    """Return the relative metric loss, which the budget bounds; below 0 is a gain.

    `(baseline - candidate) / |baseline|` for a metric to maximise, with the opposite sign for one
    to minimise. Raises ValueError for a baseline of 0.
    """
    if baseline == 0:
        raise ValueError(f"the baseline's {metric.name} is 0, so it has no relative loss")
    difference = baseline - candidate if metric.maximize else candidate - baseline
    return difference / abs(baseline)


def loss_standard_error(metric: Metric, baseline: np.ndarray, candidate: np.ndarray) -> float:
    """Return the standard error of the relative metric loss, from a paired bootstrap.

    Both arguments are statistics of the same samples in the same order, so variation that the
    models share cancels (Efron and Tibshirani, 1993, 6.4).
    """
    if len(baseline) != len(candidate):
        raise ValueError(f"{len(baseline)} and {len(candidate)} samples cannot be paired")
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(RESAMPLES):
        index = rng.integers(len(baseline), size=len(baseline))
        reference = metric_value(metric, baseline[index])
        if reference != 0:
            losses.append(relative_loss(metric, reference, metric_value(metric, candidate[index])))
    return float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0
