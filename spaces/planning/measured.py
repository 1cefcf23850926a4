"""The measured plans of a study, and what they are predicted to lose after full training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Array
from spaces.plan import Plan
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known


@dataclass(frozen=True)
class Expected:
    """A measured plan and its predicted loss after full training."""

    plan: Plan
    loss: float
    error: float
    """Standard deviation of `loss`, 0 at fidelity 1."""
    latency_ratio: float


class MeasuredPlans:
    """Every measured plan, each at the highest fidelity so far, the latest measurement last."""

    def __init__(self, fidelity: FidelityModel | None, confidence_z: float) -> None:
        """Without a model of fidelity, losses count as those after full training."""
        self._fidelity, self._z = fidelity, confidence_z
        self._known: dict[Plan, Known] = {}
        self.taken_in = 0
        """Measurements taken in, repeats of a plan included."""

    @property
    def left(self) -> float:
        """The share of a loss at the first level that is left after full training."""
        return 1.0 if self._fidelity is None else self._fidelity.left

    def add(self, known: Sequence[Known]) -> None:
        """Take in measurements; one of a known plan replaces the earlier one."""
        for one in known:
            self._known.pop(one.plan, None)
            self._known[one.plan] = one
        self.taken_in += len(known)

    def latest(self, count: int) -> list[Known]:
        """Return the latest measurements, the latest last."""
        return list(islice(reversed(self._known.values()), count))[::-1]

    def margin(self, count: int) -> float:
        """Return `confidence_z` median standard errors of the latest measurements, 0 of none."""
        errors = [one.standard_error for one in self.latest(count)]
        return self._z * float(np.median(errors)) if errors else 0.0

    def losses(self, known: Sequence[Known]) -> tuple[Array, Array]:
        """Return predicted losses after full training and their errors, each (plans,)."""
        losses = np.array([one.metric_loss for one in known], float)
        if self._fidelity is None:
            return losses, np.zeros(len(losses))
        return self._fidelity.predict(np.array([one.fidelity for one in known], float), losses)

    def within(self, budget: float) -> list[Expected]:
        """Return the plans that will keep the budget, margin included, with a chance of at least
        one half."""
        known = list(self._known.values())
        losses, errors = self.losses(known)
        margins = self._z * np.array([one.standard_error for one in known], float)
        found: NDArray[np.int64] = np.flatnonzero(losses + margins <= budget)
        return [
            Expected(known[i].plan, float(losses[i]), float(errors[i]), known[i].latency_ratio)
            for i in found
        ]
