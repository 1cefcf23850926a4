"""Filters that are larger than their map: Paddle's kernels then write outside of their memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
from paddle.nn.layer.conv import _ConvNd

from spaces.errors import TaskError


@contextmanager
def checked_windows(network: paddle.nn.Layer, file: Path) -> Iterator[None]:
    """A context in which a convolution whose filter does not fit on its map raises TaskError.

    Paddle does not check it: the process crashes, or waits for ever.
    """

    names = {id(layer): name for name, layer in network.named_sublayers()}

    def check(layer: Any, inputs: tuple[Any, ...]) -> None:
        sides = inputs[0].shape[1:-1] if layer._data_format[-1] == "C" else inputs[0].shape[2:]
        spans = [d * (k - 1) + 1 for d, k in zip(layer._dilation, layer._kernel_size, strict=True)]
        for side, span, padding in zip(sides, spans, _paddings(layer, len(spans)), strict=True):
            if padding is not None and side + padding < span:
                raise TaskError(
                    f"{file}: the input is too small: at {names[id(layer)]} a filter of "
                    f"{' x '.join(map(str, spans))} is on a map of {' x '.join(map(str, sides))}; "
                    "give a larger task_options.size"
                )

    hooks = [
        layer.register_forward_pre_hook(check)
        for layer in network.sublayers()
        if isinstance(layer, _ConvNd) and not isinstance(layer, paddle.nn.Conv2DTranspose)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _paddings(layer: Any, axes: int) -> list[int | None]:
    """Return the pixels added along each axis, on both sides together; None if they always do."""
    padding = layer._padding
    if isinstance(padding, str):
        return [None if padding.upper() == "SAME" else 0] * axes
    numbers = [padding] * axes if isinstance(padding, int) else list(padding)
    if len(numbers) == axes:
        return [2 * number for number in numbers]
    return [sum(numbers[2 * axis : 2 * axis + 2]) for axis in range(axes)]
