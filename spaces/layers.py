"""The cost of a model's layers, and the pruning groups and branches that reduce it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.branches import Nesting
from spaces.plan import Plan, PruningGroup

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer, with the groups that shrink its weight.

    `outputs` and `inputs` name the groups that shrink that side, each with the group's share of
    the side's channels. After a concatenation of a group of 32 channels and one of 64, `inputs` is
    `{first: 1/3, second: 2/3}`. A branch that is a path of the concatenation is named too, with the
    path's share: it has no channels left if the branch is removed.
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
    branches: tuple[str, ...] = ()
    """The branches that the layer lies in: it is gone if one of them is removed."""


def ratio_matrix(groups: Sequence[PruningGroup], plans: Sequence[Plan]) -> Array:
    """Return every plan's ratio of every group, shape (plans, groups)."""
    index = {group.name: column for column, group in enumerate(groups)}
    matrix = np.zeros((len(plans), len(groups)))
    for row, plan in enumerate(plans):
        for name, ratio in plan.ratios:
            if name in index:
                matrix[row, index[name]] = ratio
    return matrix


def with_column(ratios: Array, group: int, level: float) -> Array:
    """Return the ratios of plans with one group at a level."""
    changed = ratios.copy()
    changed[:, group] = level
    return changed


class LayerCosts:
    """The layers of one model, as arrays.

    The ratios of groups inside a removed branch count as 0 in all its methods.
    """

    def __init__(self, layers: Sequence[Layer], groups: Sequence[PruningGroup]) -> None:
        self.layers = tuple(layers)
        self.groups = len(groups)
        self.nesting = Nesting(groups)
        self._items = tuple(groups)
        self._parts: dict[int, tuple[NDArray[np.int64], LayerCosts]] = {}
        names = [group.name for group in groups]
        self._outputs = self._shares([layer.outputs for layer in layers], names)
        self._inputs = self._shares([layer.inputs for layer in layers], names)
        self._holds = np.zeros((len(names), len(layers)))
        """1 where a layer (second index) lies in a branch (first index)."""
        for column, layer in enumerate(layers):
            self._holds[list(self.nesting.around(layer.branches)), column] = 1.0
        self._out = np.array([layer.out_channels for layer in layers], float)
        self._in = np.array([layer.in_channels for layer in layers], float)
        total = max(1, sum(layer.multiply_adds for layer in layers))
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
        present = self.present(ratios)
        ratios = self.nesting.canonical(ratios)
        out = self._side(1 - ratios @ self._outputs, self._out, block) * present
        return out * self._side(1 - ratios @ self._inputs, self._in, block), out

    def present(self, ratios: Array) -> Array:
        """Return 1 for each layer that is there and 0 for one in a removed branch.

        Shape (plans, layers).
        """
        branches = self.nesting.branches
        removed = (ratios[:, branches] >= 1).astype(float)
        found: Array = (removed @ self._holds[branches] == 0).astype(float)
        return found

    def layers_of(self, group: int) -> NDArray[np.int64]:
        """Return the indices of the layers that a group or a branch, by its column, shrinks.

        Of a branch they are the layers that are gone with it, and those that it or the groups
        inside it shrink.
        """
        columns = np.append(np.flatnonzero(self.nesting.inside[group]), group)
        return np.flatnonzero(self._shrunk(columns).any(axis=0))

    def _shrunk(self, groups: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.bool_]:
        """Return whether these groups shrink or hold each layer, shape (groups, layers)."""
        sides = self._outputs[groups], self._inputs[groups], self._holds[groups]
        found: NDArray[np.bool_] = np.any([side > 0 for side in sides], axis=0)
        return found

    def _part(self, group: int) -> tuple[NDArray[np.int64], LayerCosts]:
        """Return the layers of a group, and the columns of all groups that shrink or hold them."""
        if group not in self._parts:
            layers = self.layers_of(group)
            used = self._shrunk()[:, layers].any(axis=1)
            used[group] = True
            used |= self.nesting.inside[:, used].any(axis=1)
            columns = np.flatnonzero(used)
            part = [self.layers[layer] for layer in layers]
            self._parts[group] = columns, LayerCosts(part, [self._items[c] for c in columns])
        return self._parts[group]

    def remaining_with(
        self, ratios: Array, group: int, levels: Array, block: int = 1
    ) -> tuple[Array, Array]:
        """Return `remaining` for the layers of a group, with it at each of several ratios.

        Both results have shape (plans, levels, layers).
        """
        columns, part = self._part(group)
        column = int(np.searchsorted(columns, group))
        ratios = ratios[:, columns]
        if group in self.nesting.branches:
            # What a branch removes depends on the ratios of the groups inside it.
            found = [part.remaining(with_column(ratios, column, one), block) for one in levels]
            work, written = zip(*found, strict=True)
            return np.stack(work, axis=1), np.stack(written, axis=1)
        return part._at_levels(ratios, column, levels, block)

    def _at_levels(
        self, ratios: Array, group: int, levels: Array, block: int
    ) -> tuple[Array, Array]:
        """Return `remaining` with a group, which is no branch, at each of several ratios."""
        present = self.present(ratios)[:, None]
        counts = ~self.nesting.gone(ratios)[:, group]
        ratios = self.nesting.canonical(ratios)

        def side(shares: Array, channels: Array) -> Array:
            own = shares[group]
            others = 1 - ratios @ shares + np.outer(ratios[:, group], own)
            removed = counts[:, None, None] * levels[:, None] * own
            return self._side(others[:, None, :] - removed, channels, block)

        out = side(self._outputs, self._out) * present
        return out * side(self._inputs, self._in), out

    def present_with(self, ratios: Array, group: int, levels: Array) -> Array:
        """Return `present` for the layers of a group, with it at each of several ratios.

        Shape (plans, levels, layers).
        """
        columns, part = self._part(group)
        column = int(np.searchsorted(columns, group))
        plans = [with_column(ratios[:, columns], column, level) for level in levels]
        return np.stack([part.present(rows) for rows in plans], axis=1)

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
