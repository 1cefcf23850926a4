"""PaddleSeg's losses as in its training loop, made to work with Paddle 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import paddle

_OPERATORS = ("__add__", "__sub__", "__mul__", "__truediv__")
_FUNCTIONS = ("add", "subtract", "multiply", "divide")
"""In `paddle._C_ops`; Paddle's own functions call them."""
_TYPES = ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
"""From narrow to wide: each can hold the values of those before it. Losses mix no others."""


class MaskTargets(NamedTuple):
    """Targets of a training batch, for losses that need more than class numbers."""

    labels: np.ndarray
    """Class numbers, shape (n, h, w)."""
    edges: np.ndarray | None = None
    """1 where classes meet, shape (n, 1, h, w); from the data set's `edge: true`."""
    instances: Mapping[str, np.ndarray] | None = None
    """Instances' classes and masks, for MaskFormer; from the transform GenerateInstanceTargets."""


def _promoting(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation of two tensors that first converts both to the wider type."""
    import paddle

    ranks = {getattr(paddle, name): rank for rank, name in enumerate(_TYPES)}

    def run(left: Any, right: Any, *rest: Any, **named: Any) -> Any:
        tensors = isinstance(left, paddle.Tensor) and isinstance(right, paddle.Tensor)
        if tensors and left.dtype != right.dtype:
            wider = max(left.dtype, right.dtype, key=ranks.__getitem__)
            left, right = left.astype(wider), right.astype(wider)
        return operation(left, right, *rest, **named)

    return run


def _of_integers(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation that first converts its first argument to int64."""

    def run(values: Any, *rest: Any, **named: Any) -> Any:
        return operation(values.astype("int64"), *rest, **named)

    return run


@contextmanager
def mixed_types() -> Iterator[None]:
    """Allow arithmetic on floats, integers and booleans mixed.

    The toolkit's losses multiply floats by integer masks. Paddle 2 allowed that, Paddle 3 raises a
    type promotion error.
    """
    import paddle

    patches = [(paddle.Tensor, name, _promoting) for name in _OPERATORS]
    patches += [(paddle._C_ops, name, _promoting) for name in _FUNCTIONS]
    patches += [(paddle._C_ops, "one_hot", _of_integers)]
    originals = [getattr(owner, name) for owner, name, _ in patches]
    try:
        for (owner, name, change), original in zip(patches, originals, strict=True):
            setattr(owner, name, change(original))
        yield
    finally:
        for (owner, name, _), original in zip(patches, originals, strict=True):
            setattr(owner, name, original)


def total_loss(
    outputs: Sequence[Any], targets: Any, losses: Mapping[str, Any], instances: bool = False
) -> paddle.Tensor:
    """Return the weighted sum of a configuration's losses, one per output of training.

    `targets` are class numbers as a tensor, or MaskTargets. With `instances` all losses are
    MaskFormer's, which take the instances.
    """
    import paddle
    from paddleseg.core.train import check_logits_losses, loss_computation

    labels, edges, found = targets, None, None
    if isinstance(targets, MaskTargets):
        labels = paddle.to_tensor(targets.labels)
        edges = None if targets.edges is None else paddle.to_tensor(targets.edges)
        found = targets.instances
    with mixed_types():
        if instances:
            check_logits_losses(outputs, losses)
            assert found is not None
            known = {name: paddle.to_tensor(array) for name, array in found.items()}
            parts = [
                weight * loss(logits, known)
                for logits, loss, weight in zip(
                    outputs, losses["types"], losses["coef"], strict=True
                )
            ]
        else:
            parts = loss_computation(outputs, labels, edges, losses)
        total: paddle.Tensor = sum(parts)
    return total
