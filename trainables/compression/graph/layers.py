"""The layers of a model: their cost, and the pruning groups that narrow them.

A layer is a weight that an operator multiplies: a Paddle layer's, or one that a user's own layer
passes to `F.conv2d(x, self.weight)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.layers import Layer
from trainables.compression.graph.branch import Branch
from trainables.compression.graph.labels import Labels
from trainables.compression.graph.rules import LabelledOperator
from trainables.compression.graph.tracing import SAMPLES, Shape

CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv3d", "deformable_conv")
TRANSPOSED = ("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
MULTIPLICATIONS = ("matmul_v2", "matmul", "mul", "bmm")


@dataclass(frozen=True)
class WeightUse:
    """One operator's multiplication by a weight."""

    weight: str
    """Structured name; of a computed weight, the first weight it is computed from."""
    labels: tuple[Labels | None, Labels | None]
    """Of the output channels, and of the input channels."""
    channels: tuple[int, int]
    """Numbers of output and of input channels."""
    multiply_adds: int
    """Per sample."""
    values: int
    """Output values per sample."""
    operator: int
    """Its place in the trace."""

    @property
    def layer(self) -> str:
        return self.weight.removesuffix(".weight")


def _per_sample(shape: Shape) -> int:
    # A size that depends on the data is unknown (-1), and counts as 1.
    return int(np.prod([max(size, 1) for size in shape])) // SAMPLES


def weight_use(
    op: LabelledOperator, weights: Mapping[str, str | None], operator: int
) -> WeightUse | None:
    """Return an operator's multiplication by a weight, None if it has none.

    `weights` maps each tensor computed from weights alone to the first of those weights; `operator`
    is the place in the trace.
    """
    kind, inputs = op.type, op.operator.inputs
    outputs = next(iter(op.operator.outputs.values()), ())
    if kind in (*CONVOLUTIONS, *TRANSPOSED):
        name, source = inputs["Filter"][0], op.input_shape("Input")
        out, into = (1, 0) if kind in TRANSPOSED else (0, 1)
    elif kind in MULTIPLICATIONS:
        slot, other = ("Y", "X") if weights.get(inputs["Y"][0]) else ("X", "Y")
        name, source = inputs[slot][0], op.input_shape(other)
        flipped = op.attribute(f"trans_{slot.lower()}", op.attribute(f"transpose_{slot}"))
        out, into = (-2, -1) if bool(flipped) == (slot == "Y") else (-1, -2)
    else:
        return None
    weight, shape = weights.get(name), op.shapes[name]
    if weight is None or len(shape) < 2:
        return None
    values = _per_sample(op.shapes[outputs[0]])
    if kind in TRANSPOSED:
        # The weight of a group is applied in full at every position of the input.
        multiply_adds = _per_sample(source) * int(np.prod(shape[1:]))
    elif kind in CONVOLUTIONS:
        multiply_adds = values * int(np.prod(shape[1:]))
    else:
        multiply_adds = values * shape[into]
    axes = op.axes[name]
    return WeightUse(
        weight, (axes[out], axes[into]), (shape[out], shape[into]), multiply_adds, values, operator
    )


def layers_of(
    uses: Sequence[WeightUse], groups: Mapping[int, str], branches: Sequence[Branch] = ()
) -> tuple[Layer, ...]:
    """Return the layers in order of use; `groups` maps each label to its group.

    The costs of a layer that is applied several times, as a shared head is, are summed.
    """
    found: dict[str, Layer] = {}
    for use in uses:
        known = found.get(use.layer)
        within = tuple(
            b.name
            for b in branches
            if use.operator in b.operators and (known is None or b.name in known.branches)
        )
        inputs = _shares(use.labels[1], groups)
        for branch in branches:
            gone = sum(inputs.get(group, 0.0) for group in branch.groups)
            if gone and branch.name not in within:
                inputs[branch.name] = gone
        found[use.layer] = Layer(
            name=use.layer,
            multiply_adds=use.multiply_adds + (known.multiply_adds if known else 0),
            values=use.values + (known.values if known else 0),
            out_channels=use.channels[0],
            in_channels=use.channels[1],
            outputs=_shares(use.labels[0], groups),
            inputs=inputs,
            branches=within,
        )
    return tuple(found.values())


def _shares(labels: Labels | None, groups: Mapping[int, str]) -> dict[str, float]:
    """Return for each group its fraction of these channels."""
    if labels is None:
        return {}
    counts = Counter(groups[label] for label in labels.tolist() if label in groups)
    return {name: count / len(labels) for name, count in counts.items()}
