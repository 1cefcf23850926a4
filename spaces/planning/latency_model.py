"""Predicted latency of a plan, from timings of other plans."""

from __future__ import annotations

import numpy as np

from spaces.layers import Array, LayerCosts
from spaces.planning.cost_model import LayerSum, layer_features
from spaces.planning.regression import fit_near
from spaces.planning.settings import DEFAULT_SETTINGS, LatencySettings

# Least part of the latency from which the spread of a coefficient is taken where it is fitted to
# few timings: it keeps the spread above 0. A guess.
LEAST_PRIOR = 1e-3


class LatencyModel(LayerSum):
    """Latency ratio as a sum over layers, for one precision."""

    @classmethod
    def fit(
        cls,
        costs: LayerCosts,
        ratios: Array,
        latencies: Array,
        settings: LatencySettings = DEFAULT_SETTINGS.latency,
    ) -> LatencyModel:
        """Return the model fitted to timings of plans, (plans, groups) and (plans,).

        The prior is cost in proportion to multiply-adds and values. A first fit has three
        coefficients for the whole model; it is the prior of a second with two per layer. Where
        branches can be removed there is one more in each, for what operators cost however few
        channels they have: equal parts for all layers in the first.
        """
        timed = len(latencies)
        if not timed:
            # Without timings the unpruned model counts as the baseline, at ratio 1.
            ratios, latencies = np.zeros((1, costs.groups)), np.ones(1)
        features = _features(costs, ratios, settings.block)
        parts, shares = [np.ones(1), costs.compute, costs.traffic], np.array(settings.shares)
        count = len(costs.compute)
        if len(costs.nesting.branches):
            parts.append(np.full(count, 1 / count))
            operators = settings.operators_share * shares[0]
            shares = np.append(shares, operators)
            shares[0] -= operators
        ends = np.cumsum([len(part) for part in parts])
        columns = np.split(features, ends[:-1], axis=1)
        summed = np.column_stack([c @ part for c, part in zip(columns, parts, strict=True)])
        top = float(latencies.max())
        guess = shares * top
        few = _fit_robustly(summed, latencies, guess, settings.shares_spread * guess, settings)
        own = np.concatenate(parts)
        prior = own * np.repeat(few, [len(part) for part in parts])
        # A part that the first fit set to 0 may still be above it.
        spread = settings.layer_spread * np.maximum(prior, own * settings.least_share * top)
        found = _fit_robustly(features, latencies, prior, spread, settings)
        misses = (features @ found - latencies) / latencies
        error = max(settings.noise, float(np.sqrt(np.mean(misses**2)))) if timed else np.inf
        return cls._of(costs, found, settings.block, error)

    @classmethod
    def _of(cls, costs: LayerCosts, found: Array, block: int, error: float) -> LatencyModel:
        """Return the model with the coefficients of `_features`."""
        coefficients, operators = np.split(found, [1 + 2 * len(costs.layers)])
        return cls(costs, coefficients, block, error, operators if len(operators) else None)

    def with_added(
        self,
        added: Array,
        ratios: Array,
        latencies: Array,
        settings: LatencySettings = DEFAULT_SETTINGS.latency,
    ) -> LatencyModel:
        """Return the model of plans in which layers cost more, or less, than in this one: unpruned
        by `added`, shape (layers,), and in proportion to their multiply-adds.

        It is fitted to timings of such plans as far as there are any.
        """
        prior = self.coefficients.copy()
        layers = slice(1, 1 + len(added))
        prior[layers] = np.maximum(0.0, prior[layers] + added)
        if self.operators is not None:
            prior = np.append(prior, self.operators)
        if not len(latencies):
            return self._of(self.costs, prior, self.block, self.relative_error)
        features = _features(self.costs, ratios, self.block)
        found = _fit_robustly(
            features,
            latencies,
            prior,
            settings.layer_spread * np.maximum(prior, LEAST_PRIOR * prior.sum()),
            settings,
        )
        return self._of(self.costs, found, self.block, self.relative_error)


def _features(costs: LayerCosts, ratios: Array, block: int) -> Array:
    """Return what the coefficients of a latency model multiply; the last ones, which layers are
    there, only if branches can be removed."""
    features = layer_features(costs, ratios, block)
    if not len(costs.nesting.branches):
        return features
    return np.column_stack([features, costs.present(ratios)])


def _fit_robustly(
    features: Array, latencies: Array, prior: Array, spread: Array, settings: LatencySettings
) -> Array:
    """Return coefficients that a few disturbed timings hardly change.

    Errors have the heavy tails of a Cauchy distribution (iteratively reweighted
    least squares; Holland and Welsch, 1977): a disturbed probe may be off by half.
    """
    noise = settings.noise * latencies
    widened = noise
    for _ in range(settings.reweightings):
        found = fit_near(features, latencies, widened, prior, spread)
        error = (latencies - features @ found) / (settings.tail * noise)
        widened = noise * np.sqrt(1 + error**2)
    return found
