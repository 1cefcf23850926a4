"""Which channels of which parameters go together, found in one pass over the traced operators.

As in DepGraph (Fang et al., CVPR 2023), with this difference: what is followed is not layers but
single channels. Every place along every axis of every parameter has a label; an operator says
which of the labels it reads stand for one channel. Channels that take the same share of the same
parameters are a group: behind a concatenation of two convolutions each of them has its own.

    first.weight  (8, 3, 3, 3)    its axis 0 has labels 0-7
    norm.weight   (8,)            labels 8-15, bound to 0-7 by the batch norm
    last.weight   (6, 8, 3, 3)    axis 1 bound to 0-7 by the convolution that reads them

So removing channel 2 removes row 2 of `first.weight`, `norm.weight` and `norm.bias`, and column 2
of `last.weight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from numpy.typing import NDArray

from spaces.layers import Layer
from trainables.compression.graph import layout, operators  # noqa: F401  enter their rules
from trainables.compression.graph.labels import Axes, LabelBook, Labels
from trainables.compression.graph.layers import WeightUse, layers_of, weight_use
from trainables.compression.graph.rules import RULES, Seen, kept_by
from trainables.compression.graph.tracing import Operator, Trace, trace
from trainables.task import ModelInput

Places = NDArray[np.int64]

IS_OUTPUT = "is an output of the model"


@dataclass(frozen=True)
class Slice:
    """What a group takes from one axis of one parameter or buffer."""

    weight: str
    axis: int
    places: Places
    """Shape (channels, places of each): the indices that go with every channel."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are alike: any number of them can be removed, each with all its slices."""

    name: str
    """The first weight that has an output row for every channel."""
    slices: tuple[Slice, ...]
    outputs: tuple[str, ...]
    """The weights that make these channels; the others only read or scale them."""

    @property
    def count(self) -> int:
        """Return of how many channels any number may be removed."""
        return len(self.slices[0].places)

    @property
    def unit(self) -> int:
        """Return how many outputs of its first weight go at a time: as many as a convolution's
        group has, say, or the heads of an attention."""
        first = next(part for part in self.slices if part.weight == self.outputs[0])
        return first.places.shape[1]

    def removed(self, channels: Sequence[int] | Places) -> dict[tuple[str, int], Places]:
        """Return the indices that go with these channels, by weight and axis, ascending."""
        chosen = np.asarray(channels, dtype=np.int64)
        return {(s.weight, s.axis): np.sort(s.places[chosen].ravel()) for s in self.slices}


@dataclass(frozen=True)
class KeptChannels:
    """Channels of one weight's output that stay, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dependencies:
    groups: tuple[ChannelGroup, ...]
    kept: tuple[KeptChannels, ...]
    layers: tuple[Layer, ...]
    """What the model computes in evaluation, and which of the groups make it less."""


class _Follower:
    """Follows labels through operators. Several traces of one model share its weights' labels."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self.book = LabelBook()
        self.weights: dict[str, tuple[Labels, ...]] = {
            name: tuple(self.book.new(size) for size in shape) for name, shape in shapes.items()
        }
        self._owner = {
            int(label): (name, axis)
            for name, axes in self.weights.items()
            for axis, labels in enumerate(axes)
            for label in labels[:1]
        }
        self.producing: dict[tuple[str, int], int] = {}
        """Weights that make channels, and along which axis, in the order of their use."""
        self.used: set[str] = set()
        self.uses: list[WeightUse] = []
        """What weights are multiplied with, in the order of the traces."""

    def follow(self, traced: Trace) -> None:
        axes: dict[str, Axes] = {
            name: (None,) * len(shape) for name, shape in traced.shapes.items()
        }
        for tensor, name in traced.weights.items():
            axes[tensor] = self.weights[name]
            self.used.add(name)
        # Tensors that follow from weights and constants alone; None for no weight.
        fixed: dict[str, str | None] = dict(traced.weights)
        for operator in traced.operators:
            seen = Seen(operator, axes, traced.shapes, self.book)
            _note_fixed(operator, fixed, traced.weights)
            use = weight_use(seen, fixed)
            if use is not None:
                self.uses.append(use)
                self._note_producer(use.labels[0])
            elif operator.type == "lookup_table_v2":
                self._note_producer(seen.into("W")[-1])
            axes.update(_labels_out(seen))
        for name in traced.outputs:
            for labels in axes[name]:
                self.book.keep(labels, IS_OUTPUT)
        for tensor in traced.nested:
            for labels in axes.get(tensor, ()):
                self.book.keep(labels, "is used inside control flow")
            weight = traced.weights.get(tensor)
            if weight is not None and len(self.weights[weight]) > 1:
                axis = 1 if len(self.weights[weight]) == 2 else 0
                self.producing.setdefault((weight, axis), len(self.producing))

    def _note_producer(self, labels: Labels | None) -> None:
        """Note the axis of a weight's outputs, given its labels."""
        # What is multiplied may be computed from the weight, but its labels say whose it is.
        owner = self._owner.get(int(labels[0])) if labels is not None and len(labels) else None
        if owner is not None and len(self.weights[owner[0]]) > 1:
            self.producing.setdefault(owner, len(self.producing))


def _note_fixed(
    operator: Operator, fixed: dict[str, str | None], weights: Mapping[str, str]
) -> None:
    """Note which of an operator's outputs follow from weights and constants alone."""
    read = [name for names in operator.inputs.values() for name in names]
    written = [name for names in operator.outputs.values() for name in names]
    if all(name in fixed for name in read):
        fixed |= dict.fromkeys(written, next((fixed[name] for name in read if fixed[name]), None))
    else:
        for name in written:
            # A norm in training writes its statistics in place.
            if name not in weights:
                fixed.pop(name, None)


def _labels_out(seen: Seen) -> dict[str, Axes]:
    """Return the labels of an operator's outputs, by the rule for it."""
    operator = seen.operator
    known = RULES.get(operator.type)
    read = [seen.axes[name] for names in operator.inputs.values() for name in names]
    if all(labels is None for one in read for labels in one):
        return {}
    if known is None:
        kept_by(seen, f"goes into {operator.type}, of which nothing is known")
        return {}
    found: dict[str, Axes] = {}
    try:
        for slot, result in known(seen).items():
            several = result if isinstance(result, list) else [result]
            found |= zip(operator.outputs.get(slot, ()), several, strict=False)
        fits = all(_fit(labels, seen.shapes[name]) for name, labels in found.items())
    except Exception:  # A form of an operator that its rule does not expect.
        fits = False
    if not fits:
        # Channels before and behind it stay; those of the rest of the model do not depend on it.
        kept_by(seen, f"goes into {operator.type} in a form that is not understood")
        return {}
    return found


def _fit(axes: Axes, shape: Sequence[int]) -> bool:
    """Return whether labels are those of a tensor of this shape."""
    return len(axes) == len(shape) and all(
        labels is None or len(labels) == size for labels, size in zip(axes, shape, strict=True)
    )


def find_dependencies(model: paddle.nn.Layer, inputs: Sequence[ModelInput]) -> Dependencies:
    """Return the groups of channels of a model, and the outputs of which nothing can be removed.

    Raises whatever the model raises when it is traced. Weights that only training uses, as those
    of an auxiliary head, are followed in a second trace in that mode.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    trained = set(shapes)
    shapes |= {name: tuple(b.shape) for name, b in model.named_buffers()}
    follower = _Follower(shapes)
    follower.follow(trace(model, inputs))
    evaluated = tuple(follower.uses)
    if trained - follower.used:
        was_training = model.training
        model.train()
        try:
            follower.follow(trace(model, inputs))
        finally:
            model.train() if was_training else model.eval()
    return _grouped(follower, shapes, evaluated)


def _grouped(
    follower: _Follower, shapes: Mapping[str, Sequence[int]], evaluated: Sequence[WeightUse]
) -> Dependencies:
    channel_of, reasons = follower.book.channels()
    names = [name for name in shapes if name in follower.used]
    taken: dict[int, list[tuple[int, int, Places]]] = {}
    for index, name in enumerate(names):
        for axis, labels in enumerate(follower.weights[name]):
            channels = channel_of[labels]
            order = np.argsort(channels, kind="stable")
            different, starts = np.unique(channels[order], return_index=True)
            for channel, places in zip(different, np.split(order, starts[1:]), strict=True):
                taken.setdefault(int(channel), []).append((index, axis, places))
    alike: dict[tuple[tuple[int, int, int], ...], list[int]] = {}
    kept: dict[str, str] = {}
    for channel, parts in taken.items():
        makers = [
            names[index] for index, axis, _ in parts if (names[index], axis) in follower.producing
        ]
        if not makers:
            continue
        if channel in reasons:
            kept.setdefault(makers[0], reasons[channel])
            continue
        pattern = tuple((index, axis, len(places)) for index, axis, places in parts)
        alike.setdefault(pattern, []).append(channel)
    groups: list[ChannelGroup] = []
    group_of: dict[int, str] = {}
    for pattern, members in alike.items():
        slices = tuple(
            Slice(
                names[index], axis, np.stack([taken[channel][position][2] for channel in members])
            )
            for position, (index, axis, _) in enumerate(pattern)
        )
        makers = [s.weight for s in slices if (s.weight, s.axis) in follower.producing]
        if len(members) < 2:
            kept.setdefault(makers[0], "its channels all hang together")
            continue
        groups.append(ChannelGroup(_free_name(makers[0], groups), slices, tuple(makers)))
        group_of |= dict.fromkeys(members, groups[-1].name)
    used = {name: order for (name, _), order in follower.producing.items()}
    groups.sort(key=lambda group: used[group.outputs[0]])
    labels = np.flatnonzero(np.isin(channel_of, list(group_of)))
    of_labels = {int(label): group_of[int(channel_of[label])] for label in labels}
    return Dependencies(
        tuple(groups),
        tuple(KeptChannels(name, reason) for name, reason in kept.items()),
        layers_of(evaluated, of_labels),
    )


def _free_name(weight: str, groups: Sequence[ChannelGroup]) -> str:
    """Return the weight's name, with a number behind it for a second group it makes."""
    count = sum(group.outputs[0] == weight for group in groups)
    return weight if not count else f"{weight}#{count + 1}"
