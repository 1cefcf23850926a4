"""Untried plans that are worth a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from spaces.layers import Array, ratio_matrix
from spaces.pareto import Points, hypervolume
from spaces.plan import Plan, Precisions
from spaces.planning.fastest import FastestPlans
from spaces.planning.measured import Expected
from spaces.planning.promise import chances_within, promises
from spaces.planning.settings import ProposalKind, ProposalSettings

IsTried = Callable[[Plan], bool]


@dataclass(frozen=True)
class Proposals:
    """Proposes a plan of each kind, or None if no untried plan of the kind promises a gain."""

    fastest: FastestPlans
    settings: ProposalSettings
    limit: float
    """The greatest loss after full training that is within the budget: the budget less the
    margin."""
    scale: float
    """The loss that `ProposalSettings.optimum_shares` are shares of: the limit or just above."""
    best: Sequence[Expected]
    """The plans of least cost that are believed to keep the budget, the best first."""
    front: Points
    """(loss, cost) of the Pareto front of such plans, shape (n, 2)."""

    def of(self, kind: ProposalKind, is_tried: IsTried, rng: Random) -> Plan | None:
        if kind is ProposalKind.OPTIMUM:
            return self.optimum(is_tried)
        if kind is ProposalKind.NEIGHBOUR:
            return self.neighbour(is_tried, rng)
        if kind is ProposalKind.DRAWN:
            return self.drawn(is_tried, rng)
        return self.filling(is_tried)

    def drawn(self, is_tried: IsTried, rng: Random) -> Plan | None:
        """Return the plan of least cost within a loss that is drawn at random, and so are the
        precisions."""
        for _ in range(self.settings.draws):
            loss = rng.uniform(0.0, self.settings.drawn_range) * self.scale
            plan = self.fastest.within(loss, rng.choice(self.fastest.space.precisions))
            if not is_tried(plan) and self.fastest.models.keeps(plan, self.fastest.space):
                return plan
        return None

    def optimum(self, is_tried: IsTried) -> Plan | None:
        """Return the most promising of the plans of least cost at several losses in all
        precisions."""
        plans = list(
            dict.fromkeys(
                self.fastest.within(share * self.scale, choice)
                for choice in self.fastest.space.precisions
                for share in self.settings.optimum_shares
            )
        )
        models = self.fastest.models
        losses, costs = models.predict(
            ratio_matrix(self.fastest.space.groups, plans), [plan.precisions for plan in plans]
        )
        kept = [models.keeps(plan, self.fastest.space) for plan in plans]
        promises = np.where(kept, self.promises(losses, costs, models.loss_error), 0.0)
        return _first_untried(promises, plans.__getitem__, is_tried)

    def neighbour(self, is_tried: IsTried, rng: Random) -> Plan | None:
        """Return the most promising of random plans near one of the best plans.

        The parent's loss and cost are measured, or its loss is predicted from a measurement;
        the models predict only the difference.
        """
        if not self.best:
            return None
        fastest, models = self.fastest, self.fastest.models
        parent = rng.choice(self.best)
        choice = parent.plan.precisions
        own: Array = ratio_matrix(fastest.space.groups, [parent.plan])[0]
        start = fastest.restorable(own, choice)
        moved = np.array([self._moved(start, rng) for _ in range(self.settings.neighbours)])
        rows = np.vstack([start[None], moved])
        losses, costs = models.losses(rows, choice), models.costs(rows, choice)
        promises = models.kept(moved, choice) * self.promises(
            parent.loss + losses[1:] - losses[0],
            parent.cost * costs[1:] / costs[0],
            float(np.hypot(self.settings.neighbour_error * models.loss_error, parent.error)),
        )
        return _first_untried(promises, lambda index: fastest.plan(moved[index], choice), is_tried)

    def filling(self, is_tried: IsTried) -> Plan | None:
        """Return the plan of the knapsack's fronts that is predicted to add most hypervolume."""
        models, before = self.fastest.models, self._dominated(self.front)
        gains: list[float] = []
        candidates: list[tuple[Array, Precisions]] = []
        for choice in self.fastest.space.precisions:
            ratios = self.fastest.front(choice)
            losses, costs = models.losses(ratios, choice), models.costs(ratios, choice)
            for loss, cost, row in zip(losses, costs, ratios, strict=True):
                # A loss predicted below 0 adds no more than a loss of 0.
                extended = np.vstack([self.front, [max(loss, 0.0), cost]])
                gains.append(self._dominated(extended) - before)
                candidates.append((row, choice))
        return _first_untried(gains, lambda index: self.fastest.plan(*candidates[index]), is_tried)

    def promises(self, losses: Array, costs: Array, error: float) -> Array:
        """Return the expected gain of plans in cost, shape (plans,).

        `error` is the standard deviation of their losses after full training.
        """
        least = self.best[0].cost if self.best else 1.0
        chances = chances_within(losses, np.full(len(losses), error), self.limit)
        return promises(costs, chances, least)

    def _dominated(self, points: Points) -> float:
        return hypervolume(points, (self.limit, 1.0))

    def _moved(self, start: Array, rng: Random) -> Array:
        """Return the ratios with a few groups moved by a level or two, drawn at random.

        A branch is removed or restored.
        """
        row = start.copy()
        nesting = self.fastest.nesting
        movable = np.flatnonzero(~nesting.gone(start[None])[0]).tolist()
        most = self.settings.moved_levels
        steps = [step for step in range(-most, most + 1) if step]
        count = min(len(movable), rng.randint(1, self.settings.moved_groups))
        for group in rng.sample(movable, count):
            if group in nesting.branches:
                row[group] = 1 - row[group]
                continue
            levels = self.fastest.levels[group]
            nearest = int(np.argmin(np.abs(levels - row[group])))
            row[group] = levels[min(max(nearest + rng.choice(steps), 0), len(levels) - 1)]
        return row


def _first_untried(
    gains: Iterable[float], plan_at: Callable[[int], Plan], is_tried: IsTried
) -> Plan | None:
    """Return the untried plan of the greatest gain above 0; of equal ones the first."""
    gains = np.asarray(gains)
    for index in np.argsort(-gains, kind="stable"):
        if gains[index] <= 0:
            return None
        plan = plan_at(int(index))
        if not is_tried(plan):
            return plan
    return None
