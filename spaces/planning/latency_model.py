"""Predicted latency of a plan, from timings of other plans."""

from __future__ import annotations

import numpy as np

from spaces.layers import Array, LayerCosts
from spaces.planning.cost_model import LayerSum, layer_features
from spaces.planning.regression import fit_near
from spaces.planning.settings import DEFAULT_SETTINGS, LatencySettings


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
        features = layer_features(costs, ratios, settings.block)
        parts, shares = [np.ones(1), costs.compute, costs.traffic], np.array(settings.shares)
        count = len(costs.compute)
        if len(costs.nesting.branches):
            features = np.column_stack([features, costs.present(ratios)])
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
        coefficients, operators = np.split(found, [1 + 2 * count])
        return cls(
            costs,
            coefficients,
            settings.block,
            error,
            operators if len(operators) else None,
        )


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
