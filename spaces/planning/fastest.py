"""The plans of least cost within a predicted loss and the bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spaces.branches import Nesting
from spaces.layers import Array
from spaces.plan import Plan, Precisions
from spaces.planning.cost_model import WeightedSum
from spaces.planning.knapsack import knapsack_front
from spaces.planning.plan_models import PlanModels
from spaces.planning.refining import refined
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
        self.nesting = Nesting(space.groups)
        curves, multipliers = models.loss.curves, models.loss.multipliers
        self._losses = [
            multipliers[group] * curves.feature(group, level)
            for group, level in enumerate(self.levels)
        ]
        self._fronts: dict[Precisions, Array] = {}
        self._within: dict[tuple[Precisions, float], Plan] = {}

    def front(self, choice: Precisions) -> Array:
        """Return the plans of the knapsack's front that keep the bounds, shape (plans, groups).

        Groups in a removed branch have the ratios that are best if it is restored.
        """
        choice = choice.timed_as
        if choice not in self._fronts:
            self._fronts[choice] = self._solve(choice)
        return self._fronts[choice]

    def _solve(self, choice: Precisions) -> Array:
        """Return `front`: one plan for every price of a loss, and for every weight of the bounded
        costs that are not the one to minimize."""
        settings, models = self._settings, self.models
        cost, others = models.cost(choice), models.bounded(choice)
        weights = settings.bound_weights if others else (0.0,)
        front = np.vstack(
            [
                knapsack_front(
                    WeightedSum(cost, others, weight) if weight else cost,
                    self.levels,
                    self._losses,
                    settings.prices,
                    settings.sweeps,
                    self.nesting,
                )
                for weight in weights
            ]
        )
        return front[models.kept(front, choice, settings.bound_share)]

    def within(self, loss: float, choice: Precisions) -> Plan:
        """Return the plan of least cost that is predicted to keep the bounds and to lose at most
        `loss`.

        The unpruned model in this choice if none is found.
        """
        key = (choice, loss)
        if key not in self._within:
            self._within[key] = self._find(loss, choice)
        return self._within[key]

    def plan(self, ratios: Array, choice: Precisions) -> Plan:
        """Return the plan of the space with these ratios, shape (groups,)."""
        named = {group.name: float(r) for group, r in zip(self.space.groups, ratios, strict=True)}
        return self.space.snap(Plan.of(named, choice))

    def _find(self, loss: float, choice: Precisions) -> Plan:
        ratios = self.front(choice)
        feasible = ratios[self.models.losses(ratios, choice) <= loss]
        if not len(feasible):
            return Plan.of({}, choice)
        models, settings = self.models, self._settings
        cost = models.cost(choice)
        start = feasible[np.argmin(cost.predict(feasible))]
        limit = loss - models.loss.offsets[choice]

        def allowed(rows: Array) -> NDArray[np.bool_]:
            return models.kept(rows, choice, settings.bound_share)

        given = (self.levels, self._losses, start, limit, settings, allowed, self.nesting)
        return self.plan(refined(cost, *given), choice)

    def restorable(self, ratios: Array, choice: Precisions) -> Array:
        """Return a plan's ratios, shape (groups,), with those that its removed branches can be
        restored with: of the front's plan that is nearest in loss."""
        gone = self.nesting.gone(ratios[None])[0]
        front = self.front(choice)
        if not gone.any() or not len(front):
            return ratios
        lost, *losses = self.models.losses(np.vstack([ratios[None], front]), choice)
        nearest = front[np.argmin(np.abs(np.array(losses) - lost))]
        return np.where(gone, nearest, ratios)
