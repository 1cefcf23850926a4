"""Predicted costs of plans as sums over layers: what the knapsack minimizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spaces.layers import Array, LayerCosts
from spaces.planning.regression import covariance, fit_near
from spaces.planning.settings import DEFAULT_SETTINGS, SizeSettings


class CostModel(Protocol):
    """Predicts one cost of plans in one precision, as a ratio to the unpruned model's."""

    def predict(self, ratios: Array) -> Array:
        """Return the costs of plans, (plans, groups) to (plans,)."""
        ...

    def at_levels(self, ratios: Array, group: int, levels: Array) -> Array:
        """Return the costs of plans with one group at each of several ratios, (plans, levels).

        Each plan's are less a part that is the same at all its levels.
        """
        ...


@dataclass(frozen=True)
class LayerSum:
    """A constant, and for every layer one part proportional to its multiply-adds and one
    proportional to the values it writes; perhaps a constant for every layer that is present.

    The multiply-adds of a layer between two groups are the product of both widths: the coupling of
    producer and consumer, which a table per group misses.
    """

    costs: LayerCosts
    coefficients: Array
    """The constant, then a coefficient per layer for multiply-adds, then one for values."""
    block: int = 1
    """Channels that are computed together; see `LayerCosts.remaining`."""
    relative_error: float = 0.0
    """Standard error of a prediction, as a share of it."""
    operators: Array | None = None
    """What each layer costs however narrow it is, unless it lies in a removed branch; None: 0."""

    def errors(self, ratios: Array) -> Array:
        """Return the standard errors of the predicted costs of plans, shape (plans,)."""
        found: Array = self.relative_error * self.predict(ratios)
        return found

    def predict(self, ratios: Array) -> Array:
        """Return the costs of plans, shape (plans,)."""
        predicted: Array = layer_features(self.costs, ratios, self.block) @ self.coefficients
        if self.operators is not None:
            predicted = predicted + self.costs.present(ratios) @ self.operators
        return predicted

    def at_levels(self, ratios: Array, group: int, levels: Array) -> Array:
        """Return `CostModel.at_levels`: the layers that the group or branch shrinks."""
        part = self.costs.layers_of(group)
        count = len(self.costs.layers)
        # Shape (plans, levels, layers of the group).
        work, written = self.costs.remaining_with(ratios, group, levels, self.block)
        spent: Array = (
            work @ self.coefficients[1 + part] + written @ self.coefficients[1 + count + part]
        )
        if self.operators is not None and group in self.costs.nesting.branches:
            spent += self.costs.present_with(ratios, group, levels) @ self.operators[part]
        return spent


@dataclass(frozen=True)
class SizeModel(LayerSum):
    """The size of an export: a constant, bytes per weight and bytes per channel."""

    covariance: Array | None = None
    """Of these three, as shares of the unpruned model's bytes."""
    heavier: Array | None = None
    """The bytes of each layer's weights, in multiples of those of most layers."""

    def errors(self, ratios: Array) -> Array:
        assert self.covariance is not None
        assert self.heavier is not None
        features = _size_features(self.costs, ratios, self.heavier)
        variances = np.sum((features @ self.covariance) * features, axis=1)
        found: Array = np.hypot(np.sqrt(variances), super().errors(ratios))
        return found


@dataclass(frozen=True)
class WeightedSum:
    """A cost plus a multiple of others: the Lagrangian of bounds on the others."""

    cost: CostModel
    others: Sequence[CostModel]
    weight: float

    def predict(self, ratios: Array) -> Array:
        """Return the sums of plans, shape (plans,)."""
        return self.cost.predict(ratios) + self.weight * sum(
            other.predict(ratios) for other in self.others
        )

    def at_levels(self, ratios: Array, group: int, levels: Array) -> Array:
        """Return `CostModel.at_levels`."""
        return self.cost.at_levels(ratios, group, levels) + self.weight * sum(
            other.at_levels(ratios, group, levels) for other in self.others
        )


def layer_features(costs: LayerCosts, ratios: Array, block: int) -> Array:
    """Return what a LayerSum's coefficients multiply, shape (plans, 1 + 2 * layers)."""
    compute, traffic = costs.remaining(ratios, block)
    return np.column_stack([np.ones(len(ratios)), compute, traffic])


def multiply_adds_model(costs: LayerCosts) -> LayerSum:
    """Return the model of the remaining share of multiply-adds; it is exact."""
    return LayerSum(costs, np.concatenate([[0.0], costs.compute, np.zeros(len(costs.layers))]))


def size_model(
    costs: LayerCosts,
    baseline_bytes: int,
    quantized: bool,
    ratios: Array,
    sizes: Array,
    settings: SizeSettings = DEFAULT_SETTINGS.size,
    float_layers: Collection[str] = (),
) -> SizeModel:
    """Return the model of an export's size, fitted to measured size ratios of plans, (plans,
    groups) and (plans,).

    A constant for the program and what is never pruned, bytes per weight, and bytes per channel
    for biases, norms and scales. A weight of the layers in float counts as several quantized ones.
    """
    more = settings.weight / settings.quantized_weight
    heavier = np.array([more if layer.name in float_layers else 1.0 for layer in costs.layers])
    weights, channels = _parameters(costs)
    per_weight = settings.quantized_weight if quantized else settings.weight
    per_channel = settings.quantized_channel if quantized else settings.channel
    whole = settings.weight * weights.sum() + settings.channel * channels.sum()
    weights = heavier * weights
    constant = max(settings.least_constant * baseline_bytes, baseline_bytes - whole)
    prior = np.array([constant, per_weight, per_channel])
    spread = prior * np.array(settings.spreads)
    features = _size_features(costs, ratios, heavier)
    measured = sizes * baseline_bytes
    known = covariance(features, settings.noise * measured, spread) / baseline_bytes**2
    if len(sizes):
        prior = fit_near(features, measured, settings.noise * measured, prior, spread)
    coefficients = np.concatenate([prior[:1], prior[1] * weights, prior[2] * channels])
    return SizeModel(
        *(costs, coefficients / baseline_bytes),
        relative_error=settings.noise,
        covariance=known,
        heavier=heavier,
    )


def _size_features(costs: LayerCosts, ratios: Array, heavier: Array) -> Array:
    """Return 1, the remaining weights and the remaining channels of plans, shape (plans, 3)."""
    weights, channels = _parameters(costs)
    work, out = costs.remaining(ratios)
    return np.column_stack([np.ones(len(ratios)), work @ (heavier * weights), out @ channels])


def _parameters(costs: LayerCosts) -> tuple[Array, Array]:
    """Return each layer's number of weights and of output channels, unpruned."""
    channels = np.array([layer.out_channels for layer in costs.layers], float)
    # Every weight of a layer is used once for each value of an output channel.
    positions = np.array([max(1.0, layer.values / layer.out_channels) for layer in costs.layers])
    weights = np.array([layer.multiply_adds for layer in costs.layers], float) / positions
    return weights, channels
