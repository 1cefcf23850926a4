"""The cost of a model's layers, and the pruning groups that reduce it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.plan import Plan, PruningGroup

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer, with the groups that shrink its weight.

    `outputs` and `inputs` name the groups that shrink that side, each with the group's share of
    the side's channels. After a concatenation of a group of 32 channels and one of 64, `inputs` is
    `{first: 1/3, second: 2/3}`.
    """

    name: str
    multiply_adds: int
    """Per sample, unpruned."""
    values: int
    """Values that the layer writes per sample, unpruned."""
    out_channels: int
    in_channels: int
    outputs: Mapping[str, float]
    inputs: Mapping[str, float]


def ratio_matrix(groups: Sequence[PruningGroup], plans: Sequence[Plan]) -> Array:
    """Return every plan's ratio of every group, shape (plans, groups)."""
    index = {group.name: column for column, group in enumerate(groups)}
    matrix = np.zeros((len(plans), len(groups)))
    for row, plan in enumerate(plans):
        for name, ratio in plan.ratios:
            if name in index:
                matrix[row, index[name]] = ratio
    return matrix


class LayerCosts:
    """The layers of one model, as arrays."""

    def __init__(self, layers: Sequence[Layer], groups: Sequence[PruningGroup]) -> None:
        self.layers = tuple(layers)
        self.groups = len(groups)
        names = [group.name for group in groups]
        self._outputs = self._shares([layer.outputs for layer in layers], names)
        self._inputs = self._shares([layer.inputs for layer in layers], names)
        self._out = np.array([layer.out_channels for layer in layers], float)
        self._in = np.array([layer.in_channels for layer in layers], float)
        total = sum(layer.multiply_adds for layer in layers)
        self.compute = np.array([layer.multiply_adds / total for layer in layers])
        """Each layer's share of the model's multiply-adds."""
        written = sum(layer.values for layer in layers)
        self.traffic = np.array([layer.values / written for layer in layers])
        """Each layer's share of all values written."""

    @staticmethod
    def _shares(sides: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
        return np.array([[side.get(name, 0.0) for side in sides] for name in names]).reshape(
            len(names), len(sides)
        )

    def remaining(self, ratios: Array, block: int = 1) -> tuple[Array, Array]:
        """Return each layer's remaining shares of multiply-adds and of written values.

        `ratios` has shape (plans, groups), both results (plans, layers). A side's share is the mean
        of its share of channels and its share of blocks of `block` channels: vector hardware
        computes a part of a block in the time of a whole one, but not in every kernel.
        """
        out = self._side(1 - ratios @ self._outputs, self._out, block)
        into = self._side(1 - ratios @ self._inputs, self._in, block)
        return out * into, out

    def layers_of(self, group: int) -> NDArray[np.int64]:
        """Return the indices of the layers that a group, by its column, shrinks."""
        return np.flatnonzero((self._outputs[group] > 0) | (self._inputs[group] > 0))

    def remaining_with(
        self, ratios: Array, group: int, levels: Array, layers: NDArray[np.int64], block: int = 1
    ) -> tuple[Array, Array]:
        """Return `remaining` for some layers, with one group at each of several ratios.

        Both results have shape (plans, levels, layers).
        """

        def side(shares: Array, channels: Array) -> Array:
            own = shares[group, layers]
            others = 1 - ratios @ shares[:, layers] + np.outer(ratios[:, group], own)
            return self._side(others[:, None, :] - levels[:, None] * own, channels[layers], block)

        out = side(self._outputs, self._out)
        return out * side(self._inputs, self._in), out

    @staticmethod
    def _side(share: Array, channels: Array, block: int) -> Array:
        if block == 1:
            return np.maximum(share, 0.0)
        # The tolerance covers ratios, which are rounded to six digits.
        blocks: Array = np.maximum(1, np.ceil(share * channels / block - 1e-4))
        remaining: Array = 0.5 * (share + blocks / np.ceil(channels / block))
        return remaining

    def multiply_adds(self, ratios: Array) -> Array:
        """Return the remaining share of the model's multiply-adds, shape (plans,)."""
        share: Array = self.remaining(ratios)[0] @ self.compute
        return share
