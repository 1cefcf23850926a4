"""The measured plans of a study, and what they are predicted to lose after full training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from spaces.goal import LATENCY, Goal
from spaces.layers import Array
from spaces.pareto import Points, front_indices
from spaces.plan import Plan
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known

# The fields of `Known` that are kept as an array.
COLUMNS = ("metric_loss", "fidelity", "standard_error")


@dataclass(frozen=True)
class Expected:
    """A measured plan and its predicted loss after full training."""

    plan: Plan
    loss: float
    error: float
    """Standard deviation of `loss`, 0 at fidelity 1."""
    cost: float
    """See `Goal.cost`."""


class MeasuredPlans:
    """Every measured plan, each at the highest fidelity so far."""

    def __init__(
        self, fidelity: FidelityModel | None, confidence_z: float, goal: Goal = LATENCY
    ) -> None:
        """Without a model of fidelity, losses count as those after full training."""
        self._fidelity, self._z, self._goal = fidelity, confidence_z, goal
        self._known: dict[Plan, Known] = {}
        # The same as rows of an array, which is longer: thousands are judged for every suggestion.
        self._rows: dict[Plan, int] = {}
        self._values = np.zeros((1, len(COLUMNS) + 1))
        self.taken_in = 0
        """Measurements taken in, repeats of a plan included."""

    @property
    def left(self) -> float:
        """The share of a loss at the first level that is left after full training."""
        return 1.0 if self._fidelity is None else self._fidelity.left

    def add(self, known: Sequence[Known]) -> None:
        """Take in measurements; one of a known plan replaces the earlier one."""
        for one in known:
            # At the end of the dictionary, as the latest.
            self._known.pop(one.plan, None)
            self._known[one.plan] = one
            row = self._rows.setdefault(one.plan, len(self._rows))
            if row == len(self._values):
                self._values = np.vstack([self._values, np.zeros_like(self._values)])
            # What exceeds a bound gains nothing.
            exceeds = self._goal.exceeded(one.latency_ratio, one.size_ratio) is not None
            cost = self._goal.cost(one.latency_ratio, one.size_ratio, one.multiply_adds)
            values = [getattr(one, column) for column in COLUMNS]
            self._values[row] = [*values, np.inf if exceeds else cost]
        self.taken_in += len(known)

    def latest(self, count: int) -> list[Known]:
        """Return the plans measured last, the latest at the end."""
        return list(islice(reversed(self._known.values()), count))[::-1]

    def margin(self, count: int) -> float:
        """Return `confidence_z` median standard errors of the latest measurements, 0 of none."""
        errors = [one.standard_error for one in self.latest(count)]
        return self._z * float(np.median(errors)) if errors else 0.0

    def losses(self, known: Sequence[Known]) -> tuple[Array, Array]:
        """Return predicted losses after full training and their errors, each (plans,)."""
        return self._after_full_training(
            np.array([one.fidelity for one in known], float),
            np.array([one.metric_loss for one in known], float),
        )

    def believed(self, budget: float, count: int) -> tuple[list[Expected], Points]:
        """Return the `count` of least cost of the plans that are believed to keep the budget, the
        best first, and the Pareto front of all of them.

        A plan is believed to if it does so, margin included, with a chance of at least one half.
        Plans that exceed a bound are left out.
        """
        losses, fidelities, standard_errors, costs = self._values[: len(self._rows)].T
        losses, errors = self._after_full_training(fidelities, losses)
        kept = np.flatnonzero((losses + self._z * standard_errors <= budget) & np.isfinite(costs))
        plans = list(self._rows)
        best = [
            Expected(plans[i], float(losses[i]), float(errors[i]), float(costs[i]))
            for i in kept[np.argsort(costs[kept], kind="stable")[:count]]
        ]
        points = np.column_stack([losses[kept], costs[kept]])
        return best, points[front_indices(points)]

    def _after_full_training(self, fidelities: Array, losses: Array) -> tuple[Array, Array]:
        if self._fidelity is None:
            return losses, np.zeros(len(losses))
        return self._fidelity.predict(fidelities, losses)
