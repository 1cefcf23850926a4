"""Layers of artificial networks, for models that need no weights."""

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
