"""The planner: the fastest plan for a loss target, and proposals learned from finished trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import numpy as np

from spaces.layers import Array, Layer, ratio_matrix
from spaces.pareto import Points, front_indices
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.encoding import Known
from spaces.planning.fastest import FastestPlans
from spaces.planning.loss_model import Curve
from spaces.planning.plan_models import Observations
from spaces.planning.proposals import Proposals
from spaces.planning.settings import DEFAULT_SETTINGS, PlannerSettings
from spaces.space import QUANTIZATION, CategoricalParameter, Parameter, RealParameter, Space, Value

LOSS = "loss_target"


class Planner:
    """Turns a loss target and a quantization choice into the fastest plan predicted to meet it.

    Every group has its own ratio. Predictions and proposals improve with finished trials.
    """

    def __init__(
        self,
        space: Space,
        layers: Sequence[Layer],
        sensitivities: Mapping[str, Curve],
        timings: Iterable[tuple[Plan, float]],
        budget: float,
        settings: PlannerSettings = DEFAULT_SETTINGS,
    ) -> None:
        self.space = space
        self.budget = budget
        self.settings = settings
        self._scale = max(budget, settings.least_scale)
        self._observations = Observations(space, layers, sensitivities, timings, budget, settings)
        self._fastest: FastestPlans | None = None
        self._best: list[Known] = []
        self._front: Points = np.zeros((0, 2))

    def learn(self, known: Sequence[Known]) -> None:
        """Take in trials that have finished since the last call."""
        if not self.settings.learns:
            return
        self._observations.add(known)
        feasible = [trial for trial in known if trial.metric_loss <= self.budget]
        best = sorted([*self._best, *feasible], key=lambda t: t.latency_ratio)
        self._best = best[: self.settings.proposals.parents]
        points = np.vstack(
            [self._front, *([trial.metric_loss, trial.latency_ratio] for trial in feasible)]
        )
        self._front = points[front_indices(points)]

    def fastest(self) -> FastestPlans:
        """Return the knapsack over the models, refitted if enough trials have finished."""
        models = self._observations.models()
        if self._fastest is None or self._fastest.models is not models:
            self._fastest = FastestPlans(self.space, models, self.settings.knapsack)
        return self._fastest

    def proposals(self) -> Proposals:
        return Proposals(
            self.fastest(),
            self.settings.proposals,
            self.budget,
            self._scale,
            self._best,
            self._front,
        )

    def warm_starts(self) -> list[Plan]:
        """Return the plans a search begins with, none twice, the most informative first.

        Plans of the predicted front in the choice that is fastest there, the unpruned model in
        that choice, then the plan at the budget in every other choice that is nearly as fast.
        """
        at_budget = {choice: self._at(1.0, choice) for choice in self.space.choices}
        _, ratios = self.predict(list(at_budget.values()))
        order = [list(at_budget)[i] for i in np.argsort(ratios, kind="stable")]
        plans = [self._at(share, order[0]) for share in self.settings.warm_shares]
        plans.append(Plan.of({}, order[0]))
        # From the slowest to the second fastest, so that of choices timed alike the fastest stays.
        near = {
            choice.timed_as: at_budget[choice]
            for choice, ratio in zip(order[:0:-1], np.sort(ratios)[:0:-1], strict=True)
            if ratio <= self.settings.warm_slowdown * ratios.min()
        }
        plans += reversed(near.values())
        return list(dict.fromkeys(plans))

    def _at(self, share: float, choice: QuantizationChoice) -> Plan:
        """Return the plan of one choice that is predicted to lose this share of the budget."""
        return self.decode({LOSS: share / self.settings.target_range, QUANTIZATION: choice.value})

    def predict(self, plans: Sequence[Plan]) -> tuple[Array, Array]:
        """Return the predicted metric losses and latency ratios of plans, each (plans,)."""
        ratios = ratio_matrix(self.space.groups, plans)
        return self.fastest().models.predict(ratios, [plan.quantization for plan in plans])

    def parameters(self) -> dict[str, Parameter]:
        """Return the numbers that make a plan: a loss target and a choice."""
        choices = tuple(choice.value for choice in self.space.choices)
        return {LOSS: RealParameter(0.0, 1.0), QUANTIZATION: CategoricalParameter(choices)}

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the fastest plan predicted to lose no more than the target."""
        loss = float(flat[LOSS]) * self.settings.target_range * self._scale
        return self.fastest().within(loss, QuantizationChoice(flat[QUANTIZATION]))

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return numbers whose plan is near to this one: its own predicted loss as the target."""
        loss = float(self.predict([plan])[0][0])
        return {
            LOSS: float(np.clip(loss / (self.settings.target_range * self._scale), 0.0, 1.0)),
            QUANTIZATION: plan.quantization.value,
        }

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return the proposal of the turn's kind (`ProposalSettings.turns`).

        None if the turn is the sampler's, or no untried plan of its kind promises a gain.
        """
        turns = self.settings.proposals.turns
        kind = turns[turn % len(turns)]
        return None if kind is None else self.proposals().of(kind, is_tried, rng)
