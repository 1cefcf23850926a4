"""Layers put back to float: which ones, in which order, and what that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spaces.plan import MixedInt8

# Least latency that a layer in float is taken to cost, as a share of the model's in INT8: as much
# as a timing varies by (LOG: a probe for processors that are shared).
LEAST_SAVED = 0.02
# Numbers of layers in float of the mixtures in a search: few, as each is a choice more for every
# plan, and doubled, as in `fewest`. A guess.
SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class LayerCost:
    """What INT8 costs and brings in one layer: the model in INT8, but for this layer in float.

    All but one layer, not one alone: it is a model of the kind that is delivered, so its latency
    has the conversions at both sides, and an engine may not run one layer alone in INT8. Paddle
    Inference does so for a convolution before a sum only if the sum's other operand is INT8.
    """

    layer: str
    metric_loss: float | None
    """Relative loss of the metric on validation."""
    damage: float | None
    """Squared RMS difference of the outputs from the float model's, relative to their spread, that
    the layer in INT8 adds. It tells layers apart whose losses are within the sampling error."""
    latency_ratio: float | None
    """Latency in multiples of that of the model in INT8 throughout."""
    reason: str | None = None
    """Why it could not be measured."""


@dataclass(frozen=True)
class WholeInt8:
    """The unpruned model in INT8 throughout."""

    metric_loss: float | None
    """Relative loss of the metric on validation."""
    damage: float | None
    """Squared RMS difference of the outputs from the float model's, relative to their spread."""
    layers: tuple[str, ...]
    """The layers that its engine runs in INT8."""
    seconds: float
    """What it takes to measure one layer: to quantize, evaluate and time a model."""
    reason: str | None = None
    """Why it could not be measured."""


@dataclass(frozen=True)
class Int8Costs:
    """What INT8 costs and brings in the unpruned model, as a whole and in each layer."""

    metric_loss: float
    """Relative loss of the metric on validation in INT8 throughout."""
    damage: float
    """Of the outputs in INT8 throughout; see `WholeInt8`."""
    latency_ratio: float
    """Latency in INT8 throughout, in multiples of the float model's."""
    layers: tuple[LayerCost, ...] = ()
    """Empty if they were not measured."""

    def mixtures(self, fastest: float) -> tuple[MixedInt8, ...]:
        """Return INT8 with a few layers in float, more in each: those that are first in
        `put_back_order`.

        Only those that are expected to take less than `fastest`, the latency ratio of the unpruned
        model without INT8: another precision would be as fast, and lose less.
        """
        order = [cost.layer for cost in self._damaging()]
        sizes = [size for size in SIZES if size <= len(order) and size < len(self.layers)]
        found = [MixedInt8(tuple(sorted(order[:size]))) for size in sizes]
        return tuple(one for one in found if self.latency_ratio + self.added(one) < fastest)

    def _damaging(self) -> list[LayerCost]:
        """Return the layers that lose something in INT8, in `put_back_order`."""
        known = {cost.layer: cost for cost in self.layers}
        return [
            known[name] for name in put_back_order(self.layers) if (known[name].damage or 0) > 0
        ]

    def added(self, mixed: MixedInt8) -> float:
        """Return the latency that a mixture adds to the unpruned model in INT8, in multiples of the
        float model's."""
        return sum(self.added_in(layer) for layer in mixed.float_layers)

    def added_in(self, layer: str) -> float:
        """Return `added` for one layer, 0 if that is unknown."""
        ratios = {cost.layer: cost.latency_ratio for cost in self.layers}
        return self.latency_ratio * ((ratios.get(layer) or 1.0) - 1)

    def loss_left(self, mixed: MixedInt8) -> float:
        """Return the share of the loss in INT8 throughout that a mixture is expected to have, 0 to
        1: the share of the damage that its layers in float do not undo.

        Damages of layers add up nearly, as independent errors do; losses do not. Two layers before
        one sum may each undo the same damage, so the share is rather too small than too large.
        """
        undone = sum(c.damage or 0.0 for c in self.layers if c.layer in mixed.float_layers)
        return min(1.0, max(0.0, 1 - undone / self.damage)) if self.damage > 0 else 1.0


def put_back_order(costs: Sequence[LayerCost]) -> tuple[str, ...]:
    """Return the layers that were measured, first those with the most damage for the time that INT8
    saves in them; those without any damage last."""

    def worth(cost: LayerCost) -> float:
        damage, ratio = cost.damage or 0.0, cost.latency_ratio or 1.0
        saved = max(LEAST_SAVED, ratio - 1)
        return damage / saved if damage > 0 else damage

    measured = [cost for cost in costs if cost.reason is None]
    return tuple(cost.layer for cost in sorted(measured, key=worth, reverse=True))


def fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number from 1 to `most` that holds; None if `most` does not.

    Larger numbers are taken to hold if a smaller one does. They are tried in doubling steps, then
    by bisection: few tries near 1.
    """
    below, above = 0, 1
    while not holds(min(above, most)):
        if above >= most:
            return None
        below, above = above, 2 * above
    above = min(above, most)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above
