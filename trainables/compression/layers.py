"""Which layers a model has, what they cost, and which groups make them cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from spaces.layers import Layer
from trainables.compression.dependency import ChannelGroup
from trainables.training import predict

# Of a layer's weight: the axes of its output and of its input channels.
CONVOLUTIONS = (paddle.nn.Conv1D, paddle.nn.Conv2D, paddle.nn.Conv3D)
TRANSPOSED = (paddle.nn.Conv1DTranspose, paddle.nn.Conv2DTranspose, paddle.nn.Conv3DTranspose)


def _axes(layer: paddle.nn.Layer) -> tuple[int, int] | None:
    if isinstance(layer, CONVOLUTIONS):
        return 0, 1
    if isinstance(layer, (*TRANSPOSED, paddle.nn.Linear)):
        return 1, 0
    return None


@dataclass
class _Traced:
    """A layer as it ran, and the shares of its sides that groups take away."""

    name: str
    axes: tuple[int, int]
    shape: tuple[int, ...]
    positions: int
    """Places in the output, or in the input of a transposed convolution, that the whole
    weight is applied to."""
    values: int
    shares: tuple[dict[str, float], dict[str, float]]

    def channels(self, shape: Sequence[int], side: int) -> int:
        return int(shape[self.axes[side]])


class LayerTable:
    """The layers of one model that hold its arithmetic, traced by running it once."""

    def __init__(self, model: paddle.nn.Layer, probe: list[paddle.Tensor]) -> None:
        self._traced: dict[str, _Traced] = {}
        self._samples = int(probe[0].shape[0])
        hooks = []
        for name, layer in model.named_sublayers():
            axes = _axes(layer)
            if axes is not None:
                hooks.append(layer.register_forward_post_hook(self._noting(name, axes)))
        predict(model, probe)
        for hook in hooks:
            hook.remove()

    def _noting(self, name: str, axes: tuple[int, int]) -> Any:
        def note(layer: paddle.nn.Layer, inputs: Any, output: paddle.Tensor) -> None:
            transposed = isinstance(layer, TRANSPOSED)
            shape = tuple(layer.weight.shape)
            # Of the model's input: a layer may see something else folded into the batch axis.
            samples = self._samples
            applied, side = (inputs[0], 1) if transposed else (output, 0)
            positions = int(np.prod(applied.shape)) // samples // shape[axes[side]]
            known = self._traced.get(name)
            if known is not None:
                # Applied again, as a shared head is: the same weight at more places.
                known.positions += positions
                known.values += int(np.prod(output.shape)) // samples
                return
            self._traced[name] = _Traced(
                name,
                axes,
                shape,
                positions,
                int(np.prod(output.shape)) // samples,
                ({}, {}),
            )

        return note

    def note_group(self, group: ChannelGroup) -> bool:
        """Note which layers are narrower without this group; return whether any is."""
        narrowed = False
        for part in group.slices:
            layer = self._traced.get(part.weight.removesuffix(".weight"))
            if layer is not None and part.axis in layer.axes:
                shares = layer.shares[layer.axes.index(part.axis)]
                shares[group.name] = part.places.size / layer.shape[part.axis]
                narrowed = True
        return narrowed

    def layers(self) -> tuple[Layer, ...]:
        return tuple(
            Layer(
                name=layer.name,
                multiply_adds=layer.positions * int(np.prod(layer.shape)),
                values=layer.values,
                out_channels=layer.channels(layer.shape, 0),
                in_channels=layer.channels(layer.shape, 1),
                outputs=layer.shares[0],
                inputs=layer.shares[1],
            )
            for layer in self._traced.values()
        )
