"""Batch norms' statistics measured anew, after a change that training has not yet followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from numpy.typing import NDArray
from paddle.nn.layer.norm import _BatchNormBase

from trainables.settings import norm_samples
from trainables.task import Task
from trainables.training import as_tensors

BATCH_NORMS: tuple[type[paddle.nn.Layer], ...] = (_BatchNormBase, paddle.nn.BatchNorm)
"""Paddle's batch norms. PaddleClas's networks have the older one, which is no `_BatchNormBase`."""


@contextmanager
def reestimated_norms(model: paddle.nn.Layer, task: Task) -> Iterator[None]:
    """Inside, the running statistics are the means over the first training batches.

    All else stays as it is, the model is in evaluation mode, and the statistics of before come back
    at the end.
    """
    norms = list(_norms(model).values())
    before = [(norm._mean.numpy(), norm._variance.numpy(), norm._momentum) for norm in norms]
    try:
        if norms:
            _estimate(model, norms, task)
        model.eval()
        yield
    finally:
        for norm, (mean, variance, momentum) in zip(norms, before, strict=True):
            norm._mean.set_value(mean)
            norm._variance.set_value(variance)
            norm._momentum = momentum


def norm_statistics(model: paddle.nn.Layer) -> dict[str, NDArray[Any]]:
    """Return the running statistics of all batch norms, by their names in the model."""
    return {
        f"{name}.{kind}": getattr(norm, kind).numpy()
        for name, norm in _norms(model).items()
        for kind in ("_mean", "_variance")
    }


def _norms(model: paddle.nn.Layer) -> dict[str, paddle.nn.Layer]:
    return {name: n for name, n in model.named_sublayers() if isinstance(n, BATCH_NORMS)}


def _estimate(model: paddle.nn.Layer, norms: list[paddle.nn.Layer], task: Task) -> None:
    model.train()
    batch_size = task.recipe.batch_size
    batches = max(1, norm_samples(task.inputs) // batch_size)
    for index, batch in enumerate(task.train_batches(batch_size, seed=0)):
        if index == batches:
            break
        for norm in norms:
            # The mean of all batches until now.
            norm._momentum = index / (index + 1)
        with paddle.no_grad():
            model(*as_tensors(batch)[0])
