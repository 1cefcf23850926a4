"""DB's loss (Liao et al., AAAI 2020): of the cores, the thresholds and the binary map."""

from __future__ import annotations

import paddle

from trainables.tasks.paddleocr.db_targets import DBTargets

# Against divisions by zero and logarithms of zero; PaddleOCR's value.
EPSILON = 1e-6


def dice_loss(
    predicted: paddle.Tensor, wanted: paddle.Tensor, counted: paddle.Tensor
) -> paddle.Tensor:
    """Return 1 - Dice coefficient of two maps, 0 to 1."""
    shared = (predicted * wanted * counted).sum()
    both = (predicted * counted).sum() + (wanted * counted).sum()
    return 1 - 2 * shared / (both + EPSILON)


def balanced_cross_entropy(
    predicted: paddle.Tensor, wanted: paddle.Tensor, counted: paddle.Tensor, negative_ratio: float
) -> paddle.Tensor:
    """Return the mean over all text pixels and the hardest of the others, `negative_ratio` times as
    many."""
    clipped = paddle.clip(predicted, EPSILON, 1 - EPSILON)
    losses = -(wanted * paddle.log(clipped) + (1 - wanted) * paddle.log(1 - clipped))
    text, rest = wanted * counted, (1 - wanted) * counted
    text_count = int(text.sum())
    rest_count = min(int(rest.sum()), int(max(text_count, 1) * negative_ratio))
    hardest = paddle.topk((losses * rest).flatten(), max(rest_count, 1))[0]
    return ((losses * text).sum() + hardest.sum()) / (text_count + rest_count + EPSILON)


class DBLoss:
    """`alpha` is the weight of the cores, `beta` of the thresholds.

    The cores' loss is balanced cross entropy with `negative_ratio`, or with None the Dice loss. The
    defaults are PaddleOCR's.
    """

    def __init__(
        self, alpha: float = 5.0, beta: float = 10.0, negative_ratio: float | None = 3.0
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.negative_ratio = negative_ratio

    def __call__(self, maps: paddle.Tensor, targets: DBTargets) -> paddle.Tensor:
        """Return the loss of maps of shape (n, 3, h, w): cores, thresholds, binary map.

        In evaluation mode the network returns only the first; then the loss is that of the cores.
        """
        cores = self.alpha * self._cores(maps[:, 0], targets)
        if maps.shape[1] == 1:
            return cores
        near = targets.thresholds_counted
        thresholds = (paddle.abs(maps[:, 1] - targets.thresholds) * near).sum()
        binary = dice_loss(maps[:, 2], targets.cores, targets.cores_counted)
        return cores + self.beta * thresholds / (near.sum() + EPSILON) + binary

    def _cores(self, predicted: paddle.Tensor, targets: DBTargets) -> paddle.Tensor:
        if self.negative_ratio:
            return balanced_cross_entropy(
                predicted, targets.cores, targets.cores_counted, self.negative_ratio
            )
        return dice_loss(predicted, targets.cores, targets.cores_counted)
