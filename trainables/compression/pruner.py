"""Removes channels from a model along its dependency graph, and restores it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from spaces.plan import ImportanceCriterion
from trainables.compression.graph.branch import Branch
from trainables.compression.graph.dependency import ChannelGroup, Indices, find_dependencies
from trainables.compression.importance import CRITERIA, ON_SCALES, Array
from trainables.compression.norms import BATCH_NORMS
from trainables.compression.removal import branches_masked, remove_branches
from trainables.task import ModelInput

# Attributes in which layers store their numbers of output channels.
OUT_ATTRIBUTES = ("_out_channels", "_num_features", "_num_channels", "out_features")
# Attributes in which layers store their numbers of input channels.
IN_ATTRIBUTES = ("_in_channels", "in_features")


class ChannelPruner:
    """Removes whole channels: of every group the least important by a criterion."""

    def __init__(
        self,
        model: paddle.nn.Layer,
        inputs: Sequence[ModelInput],
        criterion: ImportanceCriterion = "l1_norm",
    ) -> None:
        """Trace the model. Raises whatever the trace raises, with dynamic mode restored."""
        model.eval()
        self.model = model
        found = find_dependencies(model, inputs)
        self.groups = {group.name: group for group in found.groups}
        self.branches = {branch.name: branch for branch in found.branches}
        self.excluded = found.excluded
        self.kept_branches = found.kept_branches
        self.layers = found.layers
        self._criterion = criterion
        self._tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._owners: dict[str, list[paddle.nn.Layer]] = {}
        for prefix, layer in model.named_sublayers(include_self=True):
            for name in layer._parameters:
                self._owners.setdefault(f"{prefix}.{name}" if prefix else name, []).append(layer)
        self._before: dict[str, NDArray[Any]] = {}
        self._attributes: list[tuple[paddle.nn.Layer, str, int]] = []
        self._put_back: Callable[[], None] | None = None

    def importance(self, group: ChannelGroup) -> Array:
        """Return the score of each channel, shape (channels,), summed over the group's weights."""
        criterion = self._criterion
        parts = [part for part in group.slices if self.is_scale(part.weight)]
        if criterion not in ON_SCALES or not parts:
            parts = [part for part in group.slices if part.weight in group.outputs]
        scores = np.zeros(group.count)
        for part in parts:
            weight = self._tensors[part.weight].numpy().astype("f8")
            rows = np.moveaxis(weight, part.axis, 0).reshape(weight.shape[part.axis], -1)
            scores += CRITERIA[criterion](rows)[part.indices].sum(axis=1)
        return scores

    def is_scale(self, weight: str) -> bool:
        return weight.endswith("weight") and any(
            isinstance(owner, BATCH_NORMS) for owner in self._owners.get(weight, ())
        )

    def inside(self, group: str) -> tuple[str, ...]:
        """Return the branches that a group lies in: nothing produces its channels without them."""
        producers = self.groups[group].outputs
        return tuple(
            branch.name
            for branch in self.branches.values()
            if all(weight in branch.weights for weight in producers)
        )

    def removed_branches(self, ratios: Mapping[str, float]) -> list[Branch]:
        """Return the branches that these ratios remove."""
        return [b for name, b in self.branches.items() if ratios.get(name, 0) == 1]

    def removed(self, ratios: Mapping[str, float]) -> dict[tuple[str, int], Indices]:
        """Return the indices that these ratios of the groups remove, by weight and axis.

        Of a branch that is removed and was concatenated, the indices of its channels in the weights
        that remain.
        """
        found: dict[tuple[str, int], list[Indices]] = {}
        branches = self.removed_branches(ratios)
        gone = {weight for branch in branches for weight in branch.weights}
        for name in {name for branch in branches for name in branch.groups}:
            group = self.groups[name]
            for key, indices in group.removed(np.arange(group.count)).items():
                if key[0] not in gone:
                    found.setdefault(key, []).append(indices)
        for name, ratio in ratios.items():
            if name in self.branches or not {b.name for b in branches}.isdisjoint(
                self.inside(name)
            ):
                continue
            group = self.groups[name]
            count = min(round(ratio * group.count), group.count - 1)
            if count > 0:
                least = np.argsort(self.importance(group), kind="stable")[:count]
                for key, indices in group.removed(least).items():
                    found.setdefault(key, []).append(indices)
        return {key: np.sort(np.concatenate(parts)) for key, parts in found.items()}

    def prune(self, ratios: Mapping[str, float]) -> None:
        """Remove each group's ratio of channels, and branches at ratio 1, in place."""
        assert not self._before, "restore the model before it is pruned again"
        for name, cuts in _by_weight(self.removed(ratios)).items():
            tensor = self._tensors[name]
            whole = tensor.numpy()
            self._before[name] = whole
            self._set(name, _without(whole, cuts))
            for layer in self._owners.get(name, ()):
                self._update_widths(layer, name, whole.shape)
        branches = self.removed_branches(ratios)
        if branches:
            self._put_back = remove_branches(self.model, branches)

    def masked(self, ratios: Mapping[str, float]) -> dict[str, NDArray[Any]]:
        """Return the weights that `prune` would change, unpruned, with zeros at what it removes.

        A model with these weights computes the same as the pruned model: the weights that read a
        removed channel are zero. Branches are left to `mask`. The model itself is not changed.
        """
        found: dict[str, NDArray[Any]] = {}
        for (name, axis), indices in self.removed(ratios).items():
            if name not in found:
                found[name] = self._tensors[name].numpy().copy()
            np.moveaxis(found[name], axis, 0)[indices] = 0
        return found

    @contextmanager
    def with_weights(self, weights: Mapping[str, NDArray[Any]]) -> Iterator[None]:
        """Replace some of the model's weights by others of the same shapes inside."""
        before = {name: self._tensors[name].numpy() for name in weights}
        for name, value in weights.items():
            self._set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                self._set(name, value)

    @contextmanager
    def mask(self, ratios: Mapping[str, float]) -> Iterator[None]:
        """Inside, the whole model computes what the model pruned by these ratios does."""
        masked = branches_masked(self.model, self.removed_branches(ratios))
        with self.with_weights(self.masked(ratios)), masked:
            yield

    def width(self, group: str) -> int:
        """Return the current number of output channels of the group's first weight."""
        part = next(
            s for s in self.groups[group].slices if s.weight == self.groups[group].outputs[0]
        )
        return int(self._tensors[part.weight].shape[part.axis])

    def restore(self) -> None:
        """Undo the last `prune`."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None
        for name, whole in self._before.items():
            self._set(name, whole)
        for layer, attribute, value in self._attributes:
            setattr(layer, attribute, value)
        self._before.clear()
        self._attributes.clear()

    def _set(self, name: str, value: NDArray[Any]) -> None:
        tensor = self._tensors[name]
        tensor.get_tensor().set(np.ascontiguousarray(value), _place())
        if not tensor.stop_gradient:
            # Otherwise the next gradient is added to one of the old shape.
            tensor.clear_gradient(False)

    def _update_widths(self, layer: paddle.nn.Layer, weight: str, before: Sequence[int]) -> None:
        """Set a layer's width attributes: a convolution computes with its own `_groups`."""
        after = [int(size) for size in self._tensors[weight].shape]
        first = (before[0], after[0])
        second = (before[1], after[1]) if len(after) > 1 else None
        groups = getattr(layer, "_groups", 1)
        if second is not None and isinstance(groups, int) and groups > 1 and first[0] != first[1]:
            # Whole groups are removed; the weight's second axis has one group's channels.
            remaining = groups * first[1] // first[0]
            self._change(layer, "_groups", remaining)
            second = (second[0] * groups, second[1] * remaining)
        # The first axis of linear layers and transposed convolutions is the input.
        swapped = len(after) == 2 or "Transpose" in type(layer).__name__
        outputs, inputs = (second, first) if swapped and second is not None else (first, second)
        for attributes, change in ((OUT_ATTRIBUTES, outputs), (IN_ATTRIBUTES, inputs)):
            for attribute in attributes:
                if change is not None and getattr(layer, attribute, None) == change[0]:
                    self._change(layer, attribute, change[1])

    def _change(self, layer: paddle.nn.Layer, attribute: str, value: int) -> None:
        self._attributes.append((layer, attribute, getattr(layer, attribute)))
        setattr(layer, attribute, value)


Cuts = list[tuple[int, Indices]]
"""Axes of a weight, with the indices to remove from each."""


def _by_weight(removed: Mapping[tuple[str, int], Indices]) -> dict[str, Cuts]:
    found: dict[str, Cuts] = {}
    for (name, axis), indices in removed.items():
        found.setdefault(name, []).append((axis, indices))
    return found


def _without(whole: NDArray[Any], cuts: Cuts) -> NDArray[Any]:
    for axis, indices in cuts:
        whole = np.delete(whole, indices, axis=axis)
    return whole


def _place() -> Any:
    """Return the device on which this process allocates tensors."""
    return paddle.base.framework._current_expected_place()
