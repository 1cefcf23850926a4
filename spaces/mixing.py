"""Layers put back to float until the loss of an INT8 model holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Least latency that a layer in float is taken to cost, as a share of the model's in INT8: as much
# as a timing varies by (LOG: a probe for processors that are shared).
LEAST_SAVED = 0.02


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
