"""DB's loss (Liao et al., AAAI 2020): of the cores, of the thresholds and of both together."""

from __future__ import annotations

import paddle

from trainables.tasks.paddleocr.db_targets import DBTargets

EPSILON = 1e-6


def dice_loss(
    predicted: paddle.Tensor, wanted: paddle.Tensor, counted: paddle.Tensor
) -> paddle.Tensor:
    """Return one less the overlap of two maps, 0 to 1."""
    shared = (predicted * wanted * counted).sum()
    both = (predicted * counted).sum() + (wanted * counted).sum()
    return 1 - 2 * shared / (both + EPSILON)


def balanced_cross_entropy(
    predicted: paddle.Tensor, wanted: paddle.Tensor, counted: paddle.Tensor, negatives: float
) -> paddle.Tensor:
    """Return the mean over the text and, `negatives` times as many, the worst of the rest."""
    clipped = paddle.clip(predicted, EPSILON, 1 - EPSILON)
    losses = -(wanted * paddle.log(clipped) + (1 - wanted) * paddle.log(1 - clipped))
    text, rest = wanted * counted, (1 - wanted) * counted
    text_count = int(text.sum())
    rest_count = min(int(rest.sum()), int(max(text_count, 1) * negatives))
    worst = paddle.topk((losses * rest).flatten(), max(rest_count, 1))[0]
    return ((losses * text).sum() + worst.sum()) / (text_count + rest_count + EPSILON)


class DBLoss:
    """`alpha` weighs the cores, `beta` the thresholds; `negatives` is the share of hard pixels."""

    def __init__(self, alpha: float = 5.0, beta: float = 10.0, negatives: float = 3.0) -> None:
        self.alpha = alpha
        self.beta = beta
        self.negatives = negatives

    def __call__(self, maps: paddle.Tensor, targets: DBTargets) -> paddle.Tensor:
        """Return the loss of maps of shape (n, 3, h, w): cores, thresholds, cut cores.

        In evaluation mode the network gives the first only; then its loss alone is returned.
        """
        cores = self.alpha * self._cores(maps[:, 0], targets)
        if maps.shape[1] == 1:
            return cores
        near = targets.thresholds_counted
        thresholds = (paddle.abs(maps[:, 1] - targets.thresholds) * near).sum()
        binary = dice_loss(maps[:, 2], targets.cores, targets.cores_counted)
        return cores + self.beta * thresholds / (near.sum() + EPSILON) + binary

    def _cores(self, predicted: paddle.Tensor, targets: DBTargets) -> paddle.Tensor:
        if self.negatives:
            return balanced_cross_entropy(
                predicted, targets.cores, targets.cores_counted, self.negatives
            )
        return dice_loss(predicted, targets.cores, targets.cores_counted)
