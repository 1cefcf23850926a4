"""The dependency graph: which channels of which parameters must be removed together.

As DepGraph (Fang et al., CVPR 2023), but it tracks single channels, not layers. Every index along
every axis of every parameter gets a label. One pass over the traced operators binds the labels
that stand for the same channel. Channels with the same number of indices in the same parameters
form a pruning group; two concatenated convolutions stay two groups.

    first.weight  (8, 3, 3, 3)    axis 0 has labels 0-7
    norm.weight   (8,)            labels 8-15, bound to 0-7 by the batch norm
    last.weight   (6, 8, 3, 3)    axis 1 bound to 0-7 by the convolution that reads them

Removing channel 2 then removes row 2 of `first.weight`, `norm.weight` and `norm.bias`, and column 2
of `last.weight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import paddle
from numpy.typing import NDArray

from spaces.layers import Layer
from trainables.compression.graph.branch import Branch
from trainables.compression.graph.branches import BranchFinder
from trainables.compression.graph.flow import Flow
from trainables.compression.graph.labels import Axes
from trainables.compression.graph.layers import layers_of
from trainables.compression.graph.propagation import Propagation
from trainables.compression.graph.tracing import Shape, Trace, trace
from trainables.task import ModelInput

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """The part of one axis of one parameter or buffer that belongs to a group."""

    weight: str
    axis: int
    indices: Indices
    """Shape (channels, indices per channel): what is removed with each channel."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of one kind: any subset can be removed, each with its indices in every slice."""

    name: str
    """The first weight, in the model's order, that produces these channels."""
    slices: tuple[Slice, ...]
    outputs: tuple[str, ...]
    """The weights that produce these channels; the others read or scale them."""

    @property
    def count(self) -> int:
        """Number of channels in the group."""
        return len(self.slices[0].indices)

    @property
    def unit(self) -> int:
        """Outputs of the first weight that are removed per channel.

        More than one in a grouped convolution (a whole group) or in attention (one per head).
        """
        first = next(part for part in self.slices if part.weight == self.outputs[0])
        return first.indices.shape[1]

    def removed(self, channels: Sequence[int] | Indices) -> dict[tuple[str, int], Indices]:
        """Return the indices removed with these channels, by weight and axis, ascending."""
        chosen = np.asarray(channels, dtype=np.int64)
        return {(s.weight, s.axis): np.sort(s.indices[chosen].ravel()) for s in self.slices}


@dataclass(frozen=True)
class ExcludedChannels:
    """Output channels of one weight that cannot be removed, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dependencies:
    groups: tuple[ChannelGroup, ...]
    excluded: tuple[ExcludedChannels, ...]
    layers: tuple[Layer, ...]
    """The layers that run in evaluation, with the groups that narrow each."""
    branches: tuple[Branch, ...] = ()
    kept_branches: tuple[ExcludedChannels, ...] = ()
    """Sublayers that end a branch which cannot be taken out, with the reasons."""


def find_dependencies(model: paddle.nn.Layer, inputs: Sequence[ModelInput]) -> Dependencies:
    """Return a model's channel groups, its excluded channels and its layers.

    Weights used only in training, as an auxiliary head's, and outputs only there, as an inner map
    that a loss compares with the labels, are found by a second trace in training mode. Raises
    whatever the model raises when it is traced.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    trained = set(shapes)
    shapes |= {name: tuple(b.shape) for name, b in model.named_buffers()}
    propagation = Propagation(shapes)
    traced = trace(model, inputs)
    axes = propagation.propagate(traced)
    evaluated = tuple(propagation.uses)
    finder = BranchFinder(Flow(traced), evaluated, tuple(shapes))
    branches = finder.find()
    unused = bool(trained - propagation.used)
    training = _traced_in_training(model, inputs, required=unused)
    if training is not None and (unused or _output_shapes(training) != _output_shapes(traced)):
        propagation.propagate(training)
        branches = finder.also_in(Flow(training), branches)
    found = _grouped(propagation, shapes)
    branches, kept = _emptied(branches, axes, found)
    kept += tuple(ExcludedChannels(*item) for item in finder.excluded.items())
    return Dependencies(
        found.groups,
        found.excluded,
        layers_of(evaluated, found.group_of_label, branches),
        branches,
        kept,
    )


def _traced_in_training(
    model: paddle.nn.Layer, inputs: Sequence[ModelInput], required: bool
) -> Trace | None:
    """Return the model's trace in training mode; None if that fails and is not required."""
    was_training = model.training
    model.train()
    try:
        return trace(model, inputs)
    except Exception:  # The model's own code may raise anything.
        if required:
            raise
        return None
    finally:
        model.train() if was_training else model.eval()


def _output_shapes(traced: Trace) -> list[Shape]:
    return [traced.shapes[name] for name in traced.outputs]


def _emptied(
    branches: Sequence[Branch], axes: Mapping[str, Axes], found: _Grouping
) -> tuple[tuple[Branch, ...], tuple[ExcludedChannels, ...]]:
    """Name the groups that are gone with each branch that is concatenated.

    Excluded are branches whose channels cannot all be removed from the layers that read them.
    """
    groups = {group.name: group for group in found.groups}
    kept, excluded = [], []
    for branch in branches:
        if branch.kind != "nothing":
            kept.append(branch)
            continue
        labels = axes.get(branch.tensor, ())[branch.axis : branch.axis + 1]
        numbers = [] if not labels or labels[0] is None else labels[0].tolist()
        channels: dict[str, set[int]] = {}
        for label in numbers:
            name = found.group_of_label.get(label, "")
            channels.setdefault(name, set()).add(int(found.channel_of[label]))
        if channels and all(
            name in groups
            and len(gone) == groups[name].count
            and set(groups[name].outputs) <= set(branch.weights)
            for name, gone in channels.items()
        ):
            kept.append(replace(branch, groups=tuple(channels)))
        else:
            reason = "its channels cannot all be removed from what reads them"
            excluded.append(ExcludedChannels(branch.layer, reason))
    return tuple(kept), tuple(excluded)


# The part of one channel in one axis of a weight: index of the weight's name, axis, indices.
_Part = tuple[int, int, Indices]


def _channel_parts(
    propagation: Propagation, names: Sequence[str], channel_of: Indices
) -> dict[int, list[_Part]]:
    """Return every channel's part in each axis of each weight."""
    parts: dict[int, list[_Part]] = {}
    for index, name in enumerate(names):
        for axis, labels in enumerate(propagation.weights[name]):
            channels = channel_of[labels]
            order = np.argsort(channels, kind="stable")
            different, starts = np.unique(channels[order], return_index=True)
            for channel, indices in zip(different, np.split(order, starts[1:]), strict=True):
                parts.setdefault(int(channel), []).append((index, axis, indices))
    return parts


@dataclass(frozen=True)
class _Grouping:
    groups: tuple[ChannelGroup, ...]
    excluded: tuple[ExcludedChannels, ...]
    group_of_label: Mapping[int, str]
    channel_of: Indices
    """Every label's channel."""


def _grouped(propagation: Propagation, shapes: Mapping[str, Sequence[int]]) -> _Grouping:
    """Group the channels whose parts have the same weights, axes and numbers of indices."""
    channel_of, reasons = propagation.book.channels()
    names = [name for name in shapes if name in propagation.used]
    parts_of = _channel_parts(propagation, names, channel_of)
    by_pattern: dict[tuple[tuple[int, int, int], ...], list[int]] = {}
    excluded: dict[str, str] = {}
    for channel, parts in parts_of.items():
        producers = [
            names[index]
            for index, axis, _ in parts
            if (names[index], axis) in propagation.producers
        ]
        if not producers:
            continue
        if channel in reasons:
            excluded.setdefault(producers[0], reasons[channel])
            continue
        pattern = tuple((index, axis, len(indices)) for index, axis, indices in parts)
        by_pattern.setdefault(pattern, []).append(channel)
    groups: list[ChannelGroup] = []
    group_of: dict[int, str] = {}
    for pattern, members in by_pattern.items():
        slices = tuple(
            Slice(names[index], axis, np.stack([parts_of[c][position][2] for c in members]))
            for position, (index, axis, _) in enumerate(pattern)
        )
        producers = [s.weight for s in slices if (s.weight, s.axis) in propagation.producers]
        if len(members) < 2:
            excluded.setdefault(producers[0], "its channels all depend on each other")
            continue
        groups.append(ChannelGroup(_free_name(producers[0], groups), slices, tuple(producers)))
        group_of |= dict.fromkeys(members, groups[-1].name)
    first_use = {name: order for (name, _), order in propagation.producers.items()}
    groups.sort(key=lambda group: first_use[group.outputs[0]])
    labels = np.flatnonzero(np.isin(channel_of, list(group_of)))
    group_of_label = {int(label): group_of[int(channel_of[label])] for label in labels}
    return _Grouping(
        tuple(groups),
        tuple(ExcludedChannels(name, reason) for name, reason in excluded.items()),
        group_of_label,
        channel_of,
    )


def _free_name(weight: str, groups: Sequence[ChannelGroup]) -> str:
    """Return the weight's name, numbered if the weight already produces another group."""
    count = sum(group.outputs[0] == weight for group in groups)
    return weight if not count else f"{weight}#{count + 1}"
