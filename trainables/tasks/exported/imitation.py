"""The loss of a model that imitates the original: self-distillation, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
import paddle.nn.functional as F

from trainables.distillation import TEMPERATURE, squared_error
from trainables.tasks.exported.outputs import Matched

# Smallest variance of the original's chances by which their error is divided: that of a map with
# one place in a hundred. A guess.
LEAST_SPREAD = 0.01


def imitation_loss(
    outputs: Any, originals: Sequence[Any], matched: Sequence[Matched]
) -> paddle.Tensor:
    """Return the mean error of the matched tensors from the original's, each relative."""
    given = outputs if isinstance(outputs, list | tuple) else [outputs]
    errors = [
        _error(output, paddle.to_tensor(original), how)
        for output, original, how in zip(given, originals, matched, strict=True)
    ]
    loss: paddle.Tensor = sum(errors[1:], errors[0]) / len(errors)
    return loss


def _error(output: paddle.Tensor, original: paddle.Tensor, how: Matched) -> paddle.Tensor:
    if how.form == "scores":
        return _divergence(output, original, how.axis)
    if how.form == "chances":
        return _chance_divergence(output, original)
    return squared_error(output, original)


def _divergence(scores: paddle.Tensor, taught: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Return the Kullback-Leibler divergence of scores of classes (Hinton et al., 2015)."""
    wanted = F.log_softmax(taught / TEMPERATURE, axis=axis)
    difference = wanted - F.log_softmax(scores / TEMPERATURE, axis=axis)
    found: paddle.Tensor = (wanted.exp() * difference).sum(axis).mean() * TEMPERATURE**2
    return found


def _chance_divergence(output: paddle.Tensor, taught: paddle.Tensor) -> paddle.Tensor:
    """Return the Kullback-Leibler divergence of chances, relative to the original's spread.

    Both are numbers before a sigmoid.
    """
    wanted = F.sigmoid(taught)
    own, best = (
        F.binary_cross_entropy_with_logits(numbers, wanted) for numbers in (output, taught)
    )
    return (own - best) / paddle.clip(wanted.var(), min=LEAST_SPREAD)
