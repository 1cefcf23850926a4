"""Connectionist temporal classification (Graves et al., ICML 2006): targets and loss."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray

from trainables.data.characters import BLANK


class CTCTargets(NamedTuple):
    classes: NDArray[np.int32]
    """Shape (n, longest), filled up with the blank."""
    lengths: NDArray[np.int64]
    """Shape (n,)."""


def columns_needed(classes: Sequence[int]) -> int:
    """Return the fewest columns that can say a text: a blank separates equal neighbours."""
    return len(classes) + sum(a == b for a, b in pairwise(classes))


def ctc_targets(texts: Sequence[Sequence[int]]) -> CTCTargets:
    """Return the targets of a batch, given the classes of each text."""
    lengths = np.array([len(text) for text in texts], np.int64)
    classes = np.full((len(texts), int(lengths.max())), BLANK, np.int32)
    for row, text in zip(classes, texts, strict=True):
        row[: len(text)] = text
    return CTCTargets(classes, lengths)


def ctc_loss(scores: paddle.Tensor, targets: CTCTargets, is_focal: bool = False) -> paddle.Tensor:
    """Return the mean over the lines of scores of shape (n, columns, classes).

    `is_focal` gives a line that is read with the chance p the weight (1 - p)^2.
    """
    count, columns, _ = scores.shape
    losses = F.ctc_loss(
        scores.transpose([1, 0, 2]),
        paddle.to_tensor(targets.classes),
        paddle.full([count], columns, "int64"),
        paddle.to_tensor(targets.lengths),
        blank=BLANK,
        reduction="none",
    )
    if is_focal:
        losses = losses * (1 - paddle.exp(-losses)) ** 2
    return losses.mean()
