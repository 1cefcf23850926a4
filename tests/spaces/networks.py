"""Layers of artificial networks, for models that need no weights."""

from dataclasses import replace

from spaces.layers import Layer
from spaces.plan import PruningGroup


def chain(depth, width):
    """Return groups and layers of a chain of convolutions; widths double, positions quarter."""
    groups, layers, before, channels_before = [], [], {}, 3
    for index in range(depth):
        stage = index // 2
        channels, positions = width << stage, (32 >> stage) ** 2
        name = f"conv{index}.weight"
        groups.append(PruningGroup(name, channels))
        layers.append(
            Layer(
                f"conv{index}",
                9 * positions * channels * channels_before,
                positions * channels,
                channels,
                channels_before,
                {name: 1.0},
                before,
            )
        )
        before, channels_before = {name: 1.0}, channels
    layers.append(Layer("head", 10 * channels_before, 10, 10, channels_before, {}, before))
    return tuple(groups), tuple(layers)


def apart(channels):
    """Return groups and layers of independent convolutions."""
    groups = tuple(PruningGroup(f"conv{i}.weight", count) for i, count in enumerate(channels))
    layers = tuple(
        Layer(
            g.name.removesuffix(".weight"),
            90 * g.channels,
            10 * g.channels,
            g.channels,
            3,
            {g.name: 1.0},
            {},
        )
        for g in groups
    )
    return groups, layers


def residual(blocks, width, squeeze=False):
    """Return groups and layers of residual blocks in stages of two; every block's branch can go.

    A branch has two convolutions and a group of its own between them; `squeeze` puts a squeeze and
    excitation into it, a branch inside the branch with a group of its own. Widths double from stage
    to stage, positions quarter. The first convolution of a stage is on the trunk.
    """
    groups, layers, trunk, before = [], [], {}, 3
    for index in range(blocks):
        stage = index // 2
        channels, positions = width << stage, max(1, 32 >> stage) ** 2
        if index % 2 == 0:
            name = f"trunk{stage}.weight"
            groups.append(PruningGroup(name, channels))
            layers.append(_conv(f"trunk{stage}", positions, channels, before, name, trunk))
            trunk, before = {name: 1.0}, channels
        branch, inner = f"block{index}", f"block{index}.conv1.weight"
        groups.append(PruningGroup(inner, channels, inside=(branch,)))
        first = _conv(f"{branch}.conv1", positions, channels, before, inner, trunk, (branch,))
        layers.append(first)
        if squeeze:
            gate, hidden = f"{branch}.se", f"{branch}.se.fc1.weight"
            groups.append(PruningGroup(hidden, channels // 2, inside=(branch, gate)))
            groups.append(PruningGroup(gate, 1, inside=(branch,), is_branch=True))
            around = (branch, gate)
            layers.append(_linear(hidden, channels // 2, channels, hidden, inner, around))
            layers.append(_linear(f"{gate}.fc2", channels, channels // 2, inner, hidden, around))
        (own,) = trunk
        second = _conv(f"{branch}.conv2", positions, channels, channels, own, {inner: 1.0})
        layers.append(replace(second, branches=(branch,)))
        groups.append(PruningGroup(branch, 1, is_branch=True))
    layers.append(Layer("head", 10 * before, 10, 10, before, {}, trunk))
    return tuple(groups), tuple(layers)


def _conv(name, positions, channels, before, group, inputs, branches=()):
    work = 9 * positions * channels * before
    values = positions * channels
    return Layer(name, work, values, channels, before, {group: 1.0}, inputs, branches)


def _linear(name, channels, before, outputs, inputs, branches):
    sides = {outputs: 1.0}, {inputs: 1.0}
    return Layer(name, channels * before, channels, channels, before, *sides, branches)
