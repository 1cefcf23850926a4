"""The planner: the plan of least cost for a loss, and proposals learned from finished trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import numpy as np

from spaces.goal import LATENCY, Goal, Quantity
from spaces.layers import Array, Layer, ratio_matrix
from spaces.mixing import Int8Costs
from spaces.plan import Plan, Precisions
from spaces.planning.fastest import FastestPlans
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known
from spaces.planning.loss_model import Curve
from spaces.planning.measured import MeasuredPlans
from spaces.planning.plan_models import Observations
from spaces.planning.proposals import Proposals
from spaces.planning.settings import DEFAULT_SETTINGS, PlannerSettings, ProposalKind
from spaces.space import Space


class Planner:
    """Proposes plans from predicted losses and costs, which improve with finished trials.

    Every group has its own ratio.
    """

    def __init__(
        self,
        space: Space,
        layers: Sequence[Layer],
        sensitivities: Mapping[str, Curve],
        timings: Iterable[tuple[Plan, float]],
        budget: float,
        settings: PlannerSettings = DEFAULT_SETTINGS,
        fidelity: FidelityModel | None = None,
        confidence_z: float = 0.0,
        goal: Goal = LATENCY,
        int8: Int8Costs | None = None,
    ) -> None:
        """`fidelity` predicts losses after full training; without it, losses count as measured.
        The budget holds for a loss plus `confidence_z` of its standard errors. `int8` is needed if
        the space has mixtures."""
        self.space = space
        self.budget = budget
        self.settings = settings
        self._measured = MeasuredPlans(fidelity, confidence_z, goal)
        self._observations = Observations(
            *(space, layers, sensitivities, timings, budget, settings, self._measured, goal),
            int8=int8,
        )
        self._fastest: FastestPlans | None = None
        self._limit = budget

    def learn(self, known: Sequence[Known]) -> None:
        """Take in what was measured since the last call; a plan measured again replaces itself."""
        if self.settings.learns:
            self._measured.add(known)

    def fastest(self) -> FastestPlans:
        """Return the knapsack over the models, refitted if enough trials have finished."""
        models = self._observations.models()
        if self._fastest is None or self._fastest.models is not models:
            self._fastest = FastestPlans(self.space, models, self.settings.knapsack)
            # A limit that moved with every trial would ask for new plans with every suggestion.
            self._limit = self.budget - self._measured.margin(self.settings.fitted_trials)
        return self._fastest

    @property
    def limit(self) -> float:
        """The greatest loss after full training that is within the budget: the budget less the
        margin, as of the last fit."""
        self.fastest()
        return self._limit

    @property
    def _scale(self) -> float:
        return max(self.limit, self.settings.least_scale)

    def proposals(self) -> Proposals:
        """Return proposals that start from the plans believed to keep the budget.

        A plan is believed to if its chance is at least one half. If training it on shows that it
        does not, it leaves them, and what is slower may promise a gain again.
        """
        best, front = self._measured.believed(self.budget, self.settings.proposals.parents)
        return Proposals(
            self.fastest(),
            self.settings.proposals,
            self.limit,
            self._scale,
            best,
            front,
        )

    def warm_starts(self) -> list[Plan]:
        """Return the plans a search begins with, none twice.

        First the unpruned model in the choice that is fastest for it and needs no training: it
        takes seconds, and a search that is cut short has a plan to deliver. Then plans of the
        predicted front in the best choice, and the plan at the budget in every other choice that is
        nearly as good. Those that exceed a bound are left out, unless all do.
        """
        at_budget = {one: self.within(1.0, one) for one in self.space.precisions}
        plans = list(at_budget.values())
        _, ratios = self.predict(plans)
        # What exceeds a bound comes last.
        models = self.fastest().models
        ratios = np.where([models.keeps(plan, self.space) for plan in plans], ratios, np.inf)
        order = [list(at_budget)[i] for i in np.argsort(ratios, kind="stable")]
        plans = [self._unpruned()]
        plans += [self.within(share, order[0]) for share in self.settings.warm_shares]
        # From the slowest to the second fastest, so that of choices timed alike the fastest stays,
        # as of INT8 and its mixtures.
        near = {
            at_budget[choice].quantization.timed_as: at_budget[choice]
            for choice, ratio in zip(order[:0:-1], np.sort(ratios)[:0:-1], strict=True)
            if ratio <= self.settings.warm_slowdown * ratios.min()
        }
        plans += reversed(near.values())
        plans = list(dict.fromkeys(plans))
        models = self.fastest().models
        return [plan for plan in plans if models.keeps(plan, self.space)] or plans

    def _unpruned(self) -> Plan:
        """Return the unpruned model in the precisions that are fastest for it.

        Of those that need no training, if there are any; of these, if there are any, of those that
        are predicted to keep the budget.
        """
        choices = [one for one in self.space.precisions if not one.is_trained]
        plans = [Plan.of({}, one) for one in choices or self.space.choices]
        losses, costs = self.predict(plans)
        if (losses <= self.limit).any():
            costs = np.where(losses <= self.limit, costs, np.inf)
        return plans[int(np.argmin(costs))]

    def within(self, share: float, choice: Precisions) -> Plan:
        """Return the plan of least cost in a choice that is predicted to lose at most this share of
        the budget.

        The margin is taken off the budget. Of a budget near 0 the share is of
        `PlannerSettings.least_scale`.
        """
        return self.fastest().within(share * self._scale, choice)

    def predict(self, plans: Sequence[Plan]) -> tuple[Array, Array]:
        """Return the predicted metric losses and costs of plans, each (plans,)."""
        ratios = ratio_matrix(self.space.groups, plans)
        return self.fastest().models.predict(ratios, [plan.precisions for plan in plans])

    def exceeded(self, plan: Plan) -> dict[Quantity, float]:
        """Return by how much a plan is predicted to exceed bounds: see `PlanModels.exceeded`."""
        return self._observations.models().exceeded(plan, self.space)

    def unreachable(self) -> tuple[Quantity, float] | None:
        """Return a quantity whose bound no plan of the space can keep, and its least ratio.

        The other bounds kept, if any plan keeps them. None if there are plans that may keep all.
        """
        models = self._observations.models()
        floors = {choice: self.exceeded(self.space.floor(choice)) for choice in self.space.choices}
        if not all(floors.values()):
            return None
        for quantity in models.goal.bounds():
            only = [choice for choice, exceeded in floors.items() if [*exceeded] == [quantity]]
            if only:
                break
        else:
            quantity, only = next(iter(models.goal.bounds())), list(floors)
        least = min(
            models.model(quantity, choice).predict(
                ratio_matrix(self.space.groups, [self.space.floor(choice)])
            )[0]
            for choice in only
        )
        return quantity, float(least)

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return the proposal of the turn's kind (`ProposalSettings.turns`).

        If that kind has none, a plan drawn from the predicted front, else one of another kind.
        """
        turns, proposals = self.settings.proposals.turns, self.proposals()
        first, *others = (turns[(turn + step) % len(turns)] for step in range(len(turns)))
        for kind in (first, ProposalKind.DRAWN, *others):
            plan = None if kind is None else proposals.of(kind, is_tried, rng)
            if plan is not None:
                return plan
        return None
