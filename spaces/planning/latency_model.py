"""What a plan's latency will be, from the timings there are of other plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spaces.layers import Array, LayerCosts
from spaces.planning.regression import fit_near

# A timing's error, and how far a layer's cost may be from its share of the arithmetic:
# layers of equal multiply-adds take times that differ by a factor of two or so.
NOISE = 0.03
SPREAD = 1.0
# Errors of so many times the noise count half.
TAIL = 2.0
REWEIGHTED = 5
BLOCK = 16


@dataclass(frozen=True)
class LatencyModel:
    """Latency ratio as a sum over layers, for one precision.

    A constant, and for every layer a part that goes with its multiply-adds and one that
    goes with what it writes. A layer between two groups is their product: that is
    the coupling of producer and consumer, which a table group by group misses.
    """

    costs: LayerCosts
    coefficients: Array

    @classmethod
    def fit(cls, costs: LayerCosts, ratios: Array, latencies: Array) -> LatencyModel:
        """Return the model nearest to timings of plans, (plans, groups) and (plans,).

        Starts from cost in proportion to the arithmetic, and moves away from it as
        far as the timings say.
        """
        if not len(latencies):
            # Nothing is known but that it is some share of the baseline's.
            ratios, latencies = np.zeros((1, costs.groups)), np.ones(1)
        features = _features(costs, ratios)
        count = len(costs.compute)
        shares = np.concatenate([[1.0], costs.compute, costs.traffic])
        # First three numbers for the whole model, then one for every layer.
        whole = np.column_stack(
            [
                features[:, 0],
                features[:, 1 : count + 1] @ costs.compute,
                features[:, count + 1 :] @ costs.traffic,
            ]
        )
        top = float(latencies.max())
        guess = np.array([0.05, 0.75, 0.2]) * top
        three = _fit_robustly(whole, latencies, guess, 2 * guess)
        scale = np.concatenate([[three[0]], np.full(count, three[1]), np.full(count, three[2])])
        prior = shares * scale
        # A part that came out as nothing may still be a little.
        spread = SPREAD * np.maximum(prior, shares * 0.05 * top)
        return cls(costs, _fit_robustly(features, latencies, prior, spread))

    def predict(self, ratios: Array) -> Array:
        """Return the latency ratios of plans, shape (plans,)."""
        predicted: Array = _features(self.costs, ratios) @ self.coefficients
        return predicted


def _fit_robustly(features: Array, latencies: Array, prior: Array, spread: Array) -> Array:
    """Return coefficients that a few timings gone wrong hardly move.

    Errors have the heavy tails of a Cauchy distribution (iteratively reweighted
    least squares; Holland and Welsch, 1977): a disturbed probe may be off by half.
    """
    noise = NOISE * latencies
    widened = noise
    for _ in range(REWEIGHTED):
        found = fit_near(features, latencies, widened, prior, spread)
        error = (latencies - features @ found) / (TAIL * noise)
        widened = noise * np.sqrt(1 + error**2)
    return found


def _features(costs: LayerCosts, ratios: Array) -> Array:
    compute, traffic = costs.left(ratios, BLOCK)
    return np.column_stack([np.ones(len(ratios)), compute, traffic])


def plans_to_time(count: int, groups: int, max_ratio: float, seed: int) -> Array:
    """Return ratios of plans whose timings tell the layers apart, shape (count, groups).

    Even levels in all groups, each group moved about its plan's level at random, so that
    every layer is seen wide beside narrow neighbours and the other way round.
    """
    rng = np.random.default_rng(seed)
    levels = np.linspace(0, max_ratio, count)
    moved = levels[:, None] + 0.5 * max_ratio * rng.uniform(-1, 1, (count, groups))
    moved[0] = 0.0
    ratios: Array = np.clip(moved, 0.0, max_ratio)
    return ratios
