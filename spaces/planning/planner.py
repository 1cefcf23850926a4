"""Plans from a few numbers: a knapsack over predicted loss and latency does the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import erf
from random import Random

import numpy as np

from spaces.layers import Array, Layer, LayerCosts, ratio_matrix
from spaces.pareto import Points, front_indices, hypervolume
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.encoding import Known
from spaces.planning.knapsack import improved, knapsack_front
from spaces.planning.latency_model import LatencyModel
from spaces.planning.loss_model import Curve, Curves, LossModel
from spaces.space import QUANTIZATION, CategoricalParameter, Parameter, RealParameter, Space, Value

LOSS = "loss_target"

# Shares are of the budget, or of this relative loss where the budget is smaller: plans that are
# predicted to lose this little may lose nothing, and a share of nothing tells no two plans apart.
LEAST_SCALE = 0.01
# A target of 1 is this share of the budget: the model may predict too much.
TOP = 2.0
# Shares of the budget that the first plans are predicted to lose.
WARM_SHARES = (1.0, 0.2)
# Another choice is tried at once if it is predicted to be at most so much slower at the budget.
WORTH_A_TRIAL = 1.5
PRICES = np.geomspace(0.02, 200.0, 32)

# Shares of the budget that an optimum is predicted to lose.
OPTIMUM_SHARES = (0.7, 0.8, 0.9, 1.0, 1.1)
# The predicted loss is off by this share of the budget at least, and by this one as long as
# nothing is known; of a neighbour, whose parent has been measured, by half as much.
LEAST_ERROR, FIRST_ERROR = 0.1, 0.3
# Trials that lose more, in budgets, say little about that.
NEAR = 2.5

# The models are fitted again when there are so many times more trials: from each of the
# first ones there is much to learn, from one in a thousand little.
REFIT_GROWTH = 1.02
# The models are fitted to this many trials at most, the latest.
REMEMBERED = 500
# Neighbours drawn, of which the one that promises most is tried; and the groups they move.
NEIGHBOURS = 200
MOVED = 3
# A neighbour's parent is one of so many fastest plans within the budget.
PARENTS = 2


class Planner:
    """Turns a few numbers into a plan, and learns from finished trials what plans do.

    The numbers are a predicted loss to aim at and the quantization choice. The plan is the fastest
    one predicted to lose no more; every group has its own ratio.
    """

    def __init__(
        self,
        space: Space,
        layers: Sequence[Layer],
        sensitivities: Mapping[str, Curve],
        timings: Iterable[tuple[Plan, float]],
        budget: float,
    ) -> None:
        self.space = space
        self.budget = budget
        self._scale = max(budget, LEAST_SCALE)
        self._costs = LayerCosts(layers, space.groups)
        self._curves = Curves(space.groups, sensitivities)
        self._levels = [
            1 - np.array(space.levels(group)[::-1], float) / group.channels
            for group in space.groups
        ]
        self._features = [
            self._curves.feature(index, level) for index, level in enumerate(self._levels)
        ]
        self._timings = [(plan.quantization.graph, self._row(plan), r) for plan, r in timings]
        self._known: list[tuple[Known, Array]] = []
        self._best: list[Known] = []
        self._front: Points = np.zeros((0, 2))
        self._fitted: int | None = None
        self._fronts: dict[QuantizationChoice, Array] = {}
        self._optima: list[Plan] = []

    def learn(self, known: Sequence[Known]) -> None:
        """Take in trials that have finished since the last call."""
        self._known += [(trial, self._row(trial.plan)) for trial in known]
        feasible = [trial for trial in known if trial.metric_loss <= self.budget]
        self._best = sorted([*self._best, *feasible], key=lambda t: t.latency_ratio)[:PARENTS]
        points = np.vstack(
            [self._front, *([trial.metric_loss, trial.latency_ratio] for trial in feasible)]
        )
        self._front = points[front_indices(points)]

    def _row(self, plan: Plan) -> Array:
        row: Array = ratio_matrix(self.space.groups, [plan])[0]
        return row

    def _refresh(self) -> None:
        """Fit the models again if enough trials have finished since they were."""
        if self._fitted is not None and len(self._known) < max(
            self._fitted + 1, REFIT_GROWTH * self._fitted
        ):
            return
        recent = self._known[-REMEMBERED:]
        width = len(self.space.groups)
        self._loss = LossModel.fit(
            self._curves,
            self.space.choices,
            np.array([row for _, row in recent]).reshape(-1, width),
            [trial.plan.quantization for trial, _ in recent],
            np.array([trial.metric_loss for trial, _ in recent]),
        )
        timed: dict[QuantizationChoice, list[tuple[Array, float]]] = {
            choice.graph: [] for choice in self.space.choices
        }
        for graph, row, ratio in self._timings:
            timed[graph].append((row, ratio))
        for trial, row in recent:
            timed[trial.plan.quantization.graph].append((row, trial.latency_ratio))
        self._latency = {
            graph: LatencyModel.fit(
                self._costs,
                np.array([row for row, _ in pairs]).reshape(-1, width),
                np.array([ratio for _, ratio in pairs]),
            )
            for graph, pairs in timed.items()
        }
        self._fitted = len(self._known)
        self._fronts.clear()
        self._optima.clear()
        self._error = self._loss_error(recent)

    def _loss_error(self, recent: Sequence[tuple[Known, Array]]) -> float:
        """Return the standard deviation of measured losses from predicted ones, near the budget."""
        near = [(t, row) for t, row in recent if t.metric_loss <= NEAR * self._scale]
        if not near:
            return FIRST_ERROR * self._scale
        predicted = self._loss.predict(
            np.array([row for _, row in near]), [trial.plan.quantization for trial, _ in near]
        )
        errors = predicted - np.array([trial.metric_loss for trial, _ in near])
        # The one that is not there, as long as there are few.
        spread = (np.sum(errors**2) + (FIRST_ERROR * self._scale) ** 2) / (len(near) + 1)
        return max(float(np.sqrt(spread)), LEAST_ERROR * self._scale)

    def _promise(self, losses: Array, latencies: Array, error: float) -> Array:
        """Return what plans promise: how much faster than the fastest within the budget, times
        the chance to be within it (constrained expected improvement; Gardner et al., 2014)."""
        fastest = self._best[0].latency_ratio if self._best else 1.0
        chance = np.array([0.5 * (1 + erf(z)) for z in (self.budget - losses) / (error * 2**0.5)])
        promise: Array = chance * np.maximum(0.0, fastest - latencies)
        return promise

    def warm_starts(self) -> list[Plan]:
        """Return the plans a search begins with, none twice, the most telling first.

        Along the predicted front in the choice that is fastest there, then the unpruned
        model in it, then the front's plan in every other graph that is nearly as fast.
        """
        at_budget = {
            choice: self.decode({LOSS: 1 / TOP, QUANTIZATION: choice.value})
            for choice in self.space.choices
        }
        _, ratios = self.predict(list(at_budget.values()))
        order = [list(at_budget)[i] for i in np.argsort(ratios, kind="stable")]
        fastest = order[0]
        plans = [
            self.decode({LOSS: share / TOP, QUANTIZATION: fastest.value}) for share in WARM_SHARES
        ]
        plans.append(Plan.of({}, fastest))
        near = {
            choice.graph: at_budget[choice]
            for choice, ratio in zip(order[:0:-1], np.sort(ratios)[:0:-1], strict=True)
            if ratio <= WORTH_A_TRIAL * ratios.min()
        }
        plans += reversed(near.values())
        return list(dict.fromkeys(plans))

    def predict(self, plans: Sequence[Plan]) -> tuple[Array, Array]:
        """Return the predicted metric losses and latency ratios of plans, each (plans,)."""
        self._refresh()
        ratios = ratio_matrix(self.space.groups, plans)
        chosen = [plan.quantization for plan in plans]
        latency = np.array(
            [
                self._latency[choice.graph].predict(row[None])[0]
                for choice, row in zip(chosen, ratios, strict=True)
            ]
        )
        return self._loss.predict(ratios, chosen), latency

    def parameters(self) -> dict[str, Parameter]:
        """Return the numbers that make a plan."""
        choices = tuple(choice.value for choice in self.space.choices)
        return {LOSS: RealParameter(0.0, 1.0), QUANTIZATION: CategoricalParameter(choices)}

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the fastest plan predicted to lose no more than the numbers say."""
        self._refresh()
        target = float(flat[LOSS]) * TOP * self._scale
        return self._fastest(QuantizationChoice(flat[QUANTIZATION]), target)

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return numbers whose plan is near to this one: its own predicted loss as the target."""
        loss = float(self.predict([plan])[0][0])
        return {
            LOSS: float(np.clip(loss / (TOP * self._scale), 0.0, 1.0)),
            QUANTIZATION: plan.quantization.value,
        }

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return an optimum, a neighbour or a plan that fills the front, in turn.

        None if that kind has nothing untried. What Optuna samples takes no turn of its own: as a
        fourth kind it was no gain (LOG.md).
        """
        if turn % 3 == 1:
            return self.optimum(is_tried)
        if turn % 3 == 2:
            return self.neighbour(is_tried, rng)
        return self.filling(is_tried)

    def optimum(self, is_tried: Callable[[Plan], bool]) -> Plan | None:
        """Return the untried plan that promises most, of the fastest ones in every choice."""
        self._refresh()
        if not self._optima:
            plans = (
                self._fastest(choice, share * self._scale)
                for choice in self.space.choices
                for share in OPTIMUM_SHARES
            )
            self._optima = list(dict.fromkeys(plans))
        losses, latencies = self.predict(self._optima)
        promise = self._promise(losses, latencies, self._error)
        for index in np.argsort(-promise, kind="stable"):
            if promise[index] <= 0:
                break
            plan: Plan = self._optima[index]
            if not is_tried(plan):
                return plan
        return None

    def filling(self, is_tried: Callable[[Plan], bool]) -> Plan | None:
        """Return the untried plan of the knapsack's fronts that promises the most hypervolume."""
        self._refresh()
        before = self._dominated(self._front)
        found: list[tuple[float, Array, QuantizationChoice]] = []
        for choice in self.space.choices:
            ratios = self._corners(choice)
            points = zip(
                self._loss.predict(ratios, [choice] * len(ratios)),
                self._latency[choice.graph].predict(ratios),
                ratios,
                strict=True,
            )
            for loss, ratio, row in points:
                # A loss predicted below 0 promises no more than none.
                with_it = np.vstack([self._front, [max(loss, 0.0), ratio]])
                found.append((self._dominated(with_it) - before, row, choice))
        for gain, row, choice in sorted(found, key=lambda item: -item[0]):
            if gain <= 0:
                return None
            plan = self._plan(row, choice)
            if not is_tried(plan):
                return plan
        return None

    def _losses(self) -> list[Array]:
        """Return what every group is predicted to lose at each of its levels."""
        pairs = zip(self._loss.multipliers, self._features, strict=True)
        return [multiplier * feature for multiplier, feature in pairs]

    def _corners(self, choice: QuantizationChoice) -> Array:
        """Return the plans of the knapsack's front, shape (prices, groups)."""
        graph = choice.graph
        if graph not in self._fronts:
            self._fronts[graph] = knapsack_front(
                self._latency[graph], self._levels, self._losses(), PRICES
            )
        return self._fronts[graph]

    def _dominated(self, points: Points) -> float:
        return hypervolume(points, (self.budget, 1.0))

    def neighbour(self, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return an untried plan near one of the fastest within the budget, None if there is none.

        Of many that move a few groups by a level or two, the one that promises most. The models say
        only what the step changes; where it starts from has been measured.
        """
        if not self._best:
            return None
        self._refresh()
        parent = rng.choice(self._best)
        choice, start = parent.plan.quantization, self._row(parent.plan)
        moved = np.array([self._moved(start, rng) for _ in range(NEIGHBOURS)])
        both = np.vstack([start[None], moved])
        losses = self._loss.predict(both, [choice] * len(both))
        latencies = self._latency[choice.graph].predict(both)
        losses = parent.metric_loss + losses[1:] - losses[0]
        latencies = parent.latency_ratio * latencies[1:] / latencies[0]
        promise = self._promise(losses, latencies, 0.5 * self._error)
        for index in np.argsort(-promise, kind="stable"):
            if promise[index] <= 0:
                break
            plan = self._plan(moved[index], choice)
            if not is_tried(plan):
                return plan
        return None

    def _moved(self, start: Array, rng: Random) -> Array:
        row = start.copy()
        count = min(len(row), rng.randint(1, MOVED))
        for group in rng.sample(range(len(row)), count):
            levels = self._levels[group]
            here = int(np.argmin(np.abs(levels - row[group])))
            there = here + rng.choice((-2, -1, 1, 2))
            row[group] = levels[min(max(there, 0), len(levels) - 1)]
        return row

    def _fastest(self, choice: QuantizationChoice, target: float) -> Plan:
        """Return the fastest plan whose predicted loss keeps to the target."""
        latency = self._latency[choice.graph]
        ratios = self._corners(choice)
        within = ratios[self._loss.predict(ratios, [choice] * len(ratios)) <= target]
        if not len(within):
            return Plan.of({}, choice)
        start = within[np.argmin(latency.predict(within))]
        limit = target - self._loss.offsets[choice]
        return self._plan(improved(latency, self._levels, self._losses(), start, limit), choice)

    def _plan(self, ratios: Array, choice: QuantizationChoice) -> Plan:
        named = {group.name: float(r) for group, r in zip(self.space.groups, ratios, strict=True)}
        return self.space.snap(Plan.of(named, choice))
