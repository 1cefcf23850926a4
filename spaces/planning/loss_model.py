"""Predicted metric loss of a plan after training, from sensitivities and finished trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.branches import Nesting
from spaces.layers import Array
from spaces.mixing import Int8Costs
from spaces.plan import MixedInt8, Precisions, PruningGroup, QuantizationChoice
from spaces.planning.regression import fit_near
from spaces.planning.settings import DEFAULT_SETTINGS, LossSettings

Curve = Sequence[tuple[float, float]]


def monotone(curve: Curve) -> tuple[Array, Array]:
    """Return a curve's ratios and losses from (0, 0), made monotone.

    Negative losses count as 0. Where noise makes a curve fall, neighbours are averaged
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

    def __init__(
        self,
        groups: Sequence[PruningGroup],
        curves: Mapping[str, Curve],
        floor: float = LossSettings.floor,
    ) -> None:
        self._floor = floor
        self._curves = [monotone(curves.get(group.name, ())) for group in groups]
        self.nesting = Nesting(groups)

    def feature(self, group: int, ratios: Array) -> Array:
        """Return the feature of a group, by its column, at these ratios; same shape.

        Its interpolated sensitivity, 0 where it was not measured, plus the floor's slope.
        """
        known, losses = self._curves[group]
        loss = np.interp(ratios, known, losses)
        value: Array = loss + self._floor * ratios
        return value

    def features(self, ratios: Array) -> Array:
        """Return every group's feature, shape (plans, groups); 0 inside a removed branch."""
        ratios = self.nesting.canonical(ratios)
        return np.column_stack(
            [self.feature(group, ratios[:, group]) for group in range(len(self._curves))]
        )


@dataclass(frozen=True)
class LossModel:
    """Metric loss as a weighted sum of the groups' features plus an offset per choice."""

    curves: Curves
    multipliers: Array
    """The weight of each group's feature, shape (groups,)."""
    offsets: Mapping[Precisions, float]
    """The loss that each choice and each mixture adds."""

    @classmethod
    def fit(
        cls,
        curves: Curves,
        choices: Sequence[Precisions],
        ratios: Array,
        chosen: Sequence[Precisions],
        losses: Array,
        settings: LossSettings = DEFAULT_SETTINGS.loss,
        errors: Array | None = None,
        int8: Int8Costs | None = None,
    ) -> LossModel:
        """Return the model fitted to finished trials, the prior if there are none.

        `ratios` has shape (trials, groups), `chosen`, `losses` and `errors` (the losses' standard
        deviations, if they were not measured after full training) one entry per trial. A first fit
        has one multiplier for all groups, and one for all branches; they are the prior of a second
        with one per group and branch, so that these differ only as far as trials show. What INT8 is
        known to lose (`int8`) is the prior of its offset; a mixture has its part of that offset,
        and one more of its own.
        """
        features = curves.features(ratios)
        kinds = curves.nesting.kinds
        added = _added(choices, int8)
        indicator = added[[list(choices).index(one) for one in chosen]]
        noise = settings.noise + settings.relative_noise * np.abs(losses)
        if errors is not None:
            noise = np.hypot(noise, errors)
        offsets = np.zeros(len(choices))
        if int8 is not None and QuantizationChoice.INT8_PTQ in choices:
            offsets[list(choices).index(QuantizationChoice.INT8_PTQ)] = max(0.0, int8.metric_loss)
        offset_spread = np.full(len(choices), settings.offset_spread)
        together = [features[:, kind].sum(axis=1) for kind in kinds]
        summed = np.column_stack([*together, indicator])
        multiplier = np.array([settings.multiplier, settings.branch_multiplier][: len(kinds)])
        common = fit_near(
            summed,
            losses,
            noise,
            np.concatenate([multiplier, offsets]),
            np.concatenate([multiplier, offset_spread]),
        )[: len(kinds)]
        common = np.maximum(common, settings.least_multiplier * multiplier)
        groups = features.shape[1]
        own, spread = np.empty(groups), np.empty(groups)
        shares = (settings.multiplier_spread, settings.branch_spread)[: len(kinds)]
        for kind, value, share in zip(kinds, common, shares, strict=True):
            own[kind], spread[kind] = value, share * value
        found = fit_near(
            np.column_stack([features, indicator]),
            losses,
            noise,
            np.concatenate([own, offsets]),
            np.concatenate([spread, offset_spread]),
        )
        return cls(curves, found[:groups], dict(zip(choices, added @ found[groups:], strict=True)))

    def predict(self, ratios: Array, chosen: Sequence[Precisions]) -> Array:
        """Return the metric losses of plans, shape (plans,)."""
        offsets = np.array([self.offsets[choice] for choice in chosen])
        predicted: Array = self.curves.features(ratios) @ self.multipliers + offsets
        return predicted


def _added(choices: Sequence[Precisions], int8: Int8Costs | None) -> Array:
    """Return how often each choice's own offset counts for each choice, (choices, choices): once
    for itself, and that of INT8 in part for a mixture."""
    counts = np.eye(len(choices))
    for row, one in enumerate(choices):
        if isinstance(one, MixedInt8):
            assert int8 is not None
            counts[row, list(choices).index(QuantizationChoice.INT8_PTQ)] = int8.loss_left(one)
    return counts
