"""The loss that full training will leave, predicted from a loss after a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Array
from spaces.planning.promise import chances_within
from spaces.planning.settings import DEFAULT_SETTINGS, FidelitySettings


class FidelityModel:
    """Predicts losses after full training, with errors, from plans that were trained on.

    From a level of training to the next one a loss is multiplied by a share that grows with the
    loss, plus noise that grows with it too: of a loss x, a x + b x^2 is left. Both coefficients of
    each level and the scale of the noise have conjugate priors (Bayesian linear regression with
    unknown noise; Bishop, 2006, exercise 3.12), so that one object holds all that is known and
    plans may be learned in any order.
    """

    def __init__(
        self,
        fidelities: Sequence[float],
        budget: float,
        settings: FidelitySettings = DEFAULT_SETTINGS.fidelity,
    ) -> None:
        """`fidelities` are those of the levels, ascending; the last is 1."""
        levels = np.array(fidelities, float)
        if not len(levels) or levels[0] <= 0 or levels[-1] != 1 or (np.diff(levels) <= 0).any():
            raise ValueError(f"fidelities must ascend from above 0 to 1, not {list(fidelities)}")
        self.fidelities = levels
        self._settings = settings
        self._scale = max(budget, settings.least_scale)
        steps = np.log(levels[1:] / levels[:-1]) / log(settings.factor)
        prior = np.column_stack([settings.ratio**steps, settings.growth * steps])
        # What has been learned of every step, as sums over its plans, each divided by its squared
        # noise: products of the features before, of these with losses after, squared losses after.
        strength = settings.strength * (self._scale / self._noise(self._scale)) ** 2
        precision = np.diag([float(strength), 1 / settings.growth_spread**2])
        self._squares = np.repeat(precision[None], len(steps), axis=0)
        self._products = prior @ precision
        self._results = np.sum(self._products * prior, axis=1) + settings.noise_strength
        self._counts = np.full(len(steps), settings.noise_strength)

    def learn(self, before: tuple[float, float], after: tuple[float, float]) -> None:
        """Take in one plan's (fidelity, loss) at a level and at the next one."""
        step, following = self._levels([before[0], after[0]])
        if following != step + 1:
            raise ValueError(f"fidelities {before[0]} and {after[0]} are no level and the next one")
        noise = self._noise(before[1])
        features, left = _features(np.array(before[1])) / noise, after[1] / noise
        self._squares[step] += np.outer(features, features)
        self._products[step] += features * left
        self._results[step] += left**2
        self._counts[step] += 1

    @property
    def coefficients(self) -> Array:
        """What is left of a loss at each level's next one: its share of the loss, and of its
        square, shape (levels - 1, 2)."""
        found: Array = np.linalg.solve(self._squares, self._products[:, :, None])[:, :, 0]
        return found

    @property
    def left(self) -> float:
        """The share of a small loss at the first level that is left after full training: 0 where
        losses turned into gains."""
        return float(np.prod(np.maximum(self.coefficients[:, 0], 0.0)))

    def predict(self, fidelities: Array, losses: Array) -> tuple[Array, Array]:
        """Return predicted losses after full training and their standard deviations.

        Both have the shape (plans,) of the measured losses and their fidelities; a deviation is
        0 at fidelity 1. A fidelity between two levels counts as the nearer one.
        """
        means = np.array(losses, float)
        variances = np.zeros(len(means))
        levels = self._levels(fidelities)
        coefficients = self.coefficients
        scales = (self._results - np.sum(coefficients * self._products, axis=1)) / self._counts
        for step, (share, growth) in enumerate(coefficients):
            features = _features(means)
            spread = np.linalg.solve(self._squares[step], features.T).T
            noise = self._noise(means) ** 2 + np.sum(features * spread, axis=1)
            trained = levels <= step
            # More training does not make a model worse.
            slope = np.clip(share + 2 * growth * np.maximum(means, 0), 0, 1)
            after = np.minimum(features @ (share, growth), np.maximum(means, share * means))
            variances = np.where(trained, slope**2 * variances + scales[step] * noise, variances)
            means = np.where(trained, after, means)
        return means, np.sqrt(variances)

    def chance(self, fidelities: Array, losses: Array, margins: Array, budget: float) -> Array:
        """Return each plan's probability that its loss after full training plus its margin is
        within the budget, shape (plans,)."""
        means, errors = self.predict(fidelities, losses)
        return chances_within(means, errors, budget - np.asarray(margins))

    def _levels(self, fidelities: Array | Sequence[float]) -> NDArray[np.int64]:
        """Return the index of the level nearest to each fidelity, by their ratio."""
        given = np.log(np.asarray(fidelities, float))
        distances = np.abs(given[:, None] - np.log(self.fidelities))
        nearest: NDArray[np.int64] = distances.argmin(axis=1)
        return nearest

    def _noise(self, losses: Array | float) -> Array:
        """Return the noise of losses one level later, before any plan, as standard deviations."""
        noise: Array = self._settings.noise * self._scale + self._settings.relative_noise * np.abs(
            losses
        )
        return noise


def _features(losses: Array) -> Array:
    """Return each loss and its square, 0 for a gain, shape (..., 2)."""
    return np.stack([losses, np.maximum(losses, 0) ** 2], axis=-1)
