"""Which layers a model has, what they cost, and which groups make them cheaper.

A layer is a weight that an operator multiplies: those of paddle's layers, and of layers of one's
own that call `F.conv2d(x, self.weight)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.layers import Layer
from trainables.compression.graph.labels import Labels
from trainables.compression.graph.rules import Seen
from trainables.compression.graph.tracing import SAMPLES, Shape

CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv3d", "deformable_conv")
TRANSPOSED = ("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
MULTIPLICATIONS = ("matmul_v2", "matmul", "mul", "bmm")


@dataclass(frozen=True)
class WeightUse:
    """A weight as one operator multiplies it."""

    weight: str
    """Its structured name; of a weight that is computed, of the first it is computed from."""
    labels: tuple[Labels | None, Labels | None]
    """Of its output and of its input channels."""
    channels: tuple[int, int]
    multiply_adds: int
    """Per sample."""
    values: int
    """Outputs per sample."""

    @property
    def layer(self) -> str:
        return self.weight.removesuffix(".weight")


def _per_sample(shape: Shape) -> int:
    # A size that depends on the data is unknown.
    return int(np.prod([max(size, 1) for size in shape])) // SAMPLES


def weight_use(seen: Seen, weights: Mapping[str, str | None]) -> WeightUse | None:
    """Return what an operator does with a weight, None if it multiplies none.

    `weights` has the tensors that follow from weights alone, with the name of the weight.
    """
    kind, inputs = seen.operator.type, seen.operator.inputs
    outputs = next(iter(seen.operator.outputs.values()), ())
    if kind in (*CONVOLUTIONS, *TRANSPOSED):
        name, source = inputs["Filter"][0], seen.shape_into("Input")
        out, into = (1, 0) if kind in TRANSPOSED else (0, 1)
    elif kind in MULTIPLICATIONS:
        slot, other = ("Y", "X") if weights.get(inputs["Y"][0]) else ("X", "Y")
        name, source = inputs[slot][0], seen.shape_into(other)
        flipped = seen.attribute(f"trans_{slot.lower()}", seen.attribute(f"transpose_{slot}"))
        out, into = (-2, -1) if bool(flipped) == (slot == "Y") else (-1, -2)
    else:
        return None
    weight, shape = weights.get(name), seen.shapes[name]
    if weight is None or len(shape) < 2:
        return None
    values = _per_sample(seen.shapes[outputs[0]])
    if kind in TRANSPOSED:
        # The whole weight of a group is applied at every place of the input.
        multiply_adds = _per_sample(source) * int(np.prod(shape[1:]))
    elif kind in CONVOLUTIONS:
        multiply_adds = values * int(np.prod(shape[1:]))
    else:
        multiply_adds = values * shape[into]
    axes = seen.axes[name]
    return WeightUse(
        weight, (axes[out], axes[into]), (shape[out], shape[into]), multiply_adds, values
    )


def layers_of(uses: Sequence[WeightUse], groups: Mapping[int, str]) -> tuple[Layer, ...]:
    """Return the layers in the order of their use; `groups` has the group of every label.

    A layer that is applied again, as a shared head is, computes at all those places.
    """
    found: dict[str, Layer] = {}
    for use in uses:
        known = found.get(use.layer)
        found[use.layer] = Layer(
            name=use.layer,
            multiply_adds=use.multiply_adds + (known.multiply_adds if known else 0),
            values=use.values + (known.values if known else 0),
            out_channels=use.channels[0],
            in_channels=use.channels[1],
            outputs=_shares(use.labels[0], groups),
            inputs=_shares(use.labels[1], groups),
        )
    return tuple(found.values())


def _shares(labels: Labels | None, groups: Mapping[int, str]) -> dict[str, float]:
    """Return the share of one side's channels that would go with all of a group."""
    if labels is None:
        return {}
    counts = Counter(groups[label] for label in labels.tolist() if label in groups)
    return {name: count / len(labels) for name, count in counts.items()}
