"""The fastest plans within a predicted loss."""

from __future__ import annotations

import numpy as np

from spaces.layers import Array
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.knapsack import knapsack_front, refined
from spaces.planning.plan_models import PlanModels
from spaces.planning.settings import KnapsackSettings
from spaces.space import Space


class FastestPlans:
    """Solves the knapsack over one fit of the models. Results are cached."""

    def __init__(self, space: Space, models: PlanModels, settings: KnapsackSettings) -> None:
        self.space = space
        self.models = models
        self.levels = [
            1 - np.array(space.levels(group)[::-1], float) / group.channels
            for group in space.groups
        ]
        """The ratios that each group may take, ascending."""
        self._settings = settings
        curves, multipliers = models.loss.curves, models.loss.multipliers
        self._losses = [
            multipliers[group] * curves.feature(group, level)
            for group, level in enumerate(self.levels)
        ]
        self._fronts: dict[QuantizationChoice, Array] = {}
        self._within: dict[tuple[QuantizationChoice, float], Plan] = {}

    def front(self, choice: QuantizationChoice) -> Array:
        """Return the plans of the knapsack's front, shape (prices, groups)."""
        choice = choice.timed_as
        if choice not in self._fronts:
            self._fronts[choice] = knapsack_front(
                self.models.latency[choice],
                self.levels,
                self._losses,
                self._settings.prices,
                self._settings.sweeps,
            )
        return self._fronts[choice]

    def within(self, loss: float, choice: QuantizationChoice) -> Plan:
        """Return the fastest plan that is predicted to lose at most `loss`.

        The unpruned model in this choice if even that is predicted to lose more.
        """
        key = (choice, loss)
        if key not in self._within:
            self._within[key] = self._find(loss, choice)
        return self._within[key]

    def plan(self, ratios: Array, choice: QuantizationChoice) -> Plan:
        """Return the plan of the space with these ratios, shape (groups,)."""
        named = {group.name: float(r) for group, r in zip(self.space.groups, ratios, strict=True)}
        return self.space.snap(Plan.of(named, choice))

    def _find(self, loss: float, choice: QuantizationChoice) -> Plan:
        ratios = self.front(choice)
        feasible = ratios[self.models.losses(ratios, choice) <= loss]
        if not len(feasible):
            return Plan.of({}, choice)
        latency = self.models.latency[choice.timed_as]
        start = feasible[np.argmin(latency.predict(feasible))]
        limit = loss - self.models.loss.offsets[choice]
        return self.plan(
            refined(latency, self.levels, self._losses, start, limit, self._settings), choice
        )
