"""What a plan will lose after its fine-tuning, from sensitivities and finished trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.layers import Array
from spaces.plan import PruningGroup, QuantizationChoice
from spaces.planning.regression import fit_near

Curve = Sequence[tuple[float, float]]

# A curve never lies below this slope, so that removing channels is never free.
FLOOR = 0.01
# What a group's loss is worth in the whole model's, before any trial has been seen.
PRIOR = 0.1
SPREAD = 0.7
NOISE = 0.01


def monotone(curve: Curve) -> tuple[Array, Array]:
    """Return a curve's ratios and losses, from (0, 0), never falling.

    Negative losses count as none. Where noise makes a curve fall, neighbours share their mean
    (pool adjacent violators; Barlow et al., 1972).
    """
    pools: list[tuple[float, int]] = []
    for _, loss in curve:
        pools.append((max(0.0, loss), 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (one, n), (other, m) = pools[-2:]
            pools[-2:] = [((one * n + other * m) / (n + m), n + m)]
    losses = np.concatenate([[0.0], *(np.full(n, mean) for mean, n in pools)])
    return np.array([0.0, *(ratio for ratio, _ in curve)]), losses


class Curves:
    """The sensitivities of all groups, made monotone, as features of the loss model."""

    def __init__(self, groups: Sequence[PruningGroup], curves: Mapping[str, Curve]) -> None:
        self._curves = [monotone(curves.get(group.name, ())) for group in groups]

    def feature(self, group: int, ratios: Array) -> Array:
        """Return what a group, by its column, contributes at these ratios, same shape."""
        known, losses = self._curves[group]
        loss = np.interp(ratios, known, losses)
        value: Array = loss + FLOOR * ratios
        return value

    def features(self, ratios: Array) -> Array:
        """Return every group's contribution, shape (plans, groups)."""
        return np.column_stack(
            [self.feature(group, ratios[:, group]) for group in range(len(self._curves))]
        )


@dataclass(frozen=True)
class LossModel:
    """Metric loss as a sum over groups, and what a quantization choice adds."""

    curves: Curves
    multipliers: Array
    """What each group's feature is worth, shape (groups,)."""
    offsets: Mapping[QuantizationChoice, float]

    @classmethod
    def fit(
        cls,
        curves: Curves,
        choices: Sequence[QuantizationChoice],
        ratios: Array,
        chosen: Sequence[QuantizationChoice],
        losses: Array,
    ) -> LossModel:
        """Return the model nearest to finished trials; the prior's if there are none.

        `ratios` has shape (trials, groups), `chosen` and `losses` an entry a trial. With few
        trials all multipliers move together; one of its own a group earns as evidence comes.
        """
        features = curves.features(ratios)
        indicator = np.array([[float(one is other) for other in choices] for one in chosen])
        indicator = indicator.reshape(len(losses), len(choices))
        noise = NOISE + 0.15 * np.abs(losses)
        offsets = np.zeros(len(choices))
        wide = np.full(len(choices), 0.02)
        whole = np.column_stack([features.sum(axis=1), indicator])
        common = fit_near(
            whole,
            losses,
            noise,
            np.concatenate([[PRIOR], offsets]),
            np.concatenate([[PRIOR], wide]),
        )[0]
        groups = features.shape[1]
        prior = np.concatenate([np.full(groups, max(common, 0.1 * PRIOR)), offsets])
        found = fit_near(
            np.column_stack([features, indicator]),
            losses,
            noise,
            prior,
            np.concatenate([SPREAD * prior[:groups], wide]),
        )
        return cls(curves, found[:groups], dict(zip(choices, found[groups:], strict=True)))

    def predict(self, ratios: Array, chosen: Sequence[QuantizationChoice]) -> Array:
        """Return the metric losses of plans, shape (plans,)."""
        offsets = np.array([self.offsets[choice] for choice in chosen])
        predicted: Array = self.curves.features(ratios) @ self.multipliers + offsets
        return predicted
