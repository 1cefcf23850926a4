"""Plans from a few numbers: a knapsack over predicted loss and latency does the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import numpy as np

from spaces.encoding import Known
from spaces.knapsack import knapsack_front
from spaces.latency_model import LatencyModel
from spaces.layers import Array, Layer, LayerCosts, ratio_matrix
from spaces.loss_model import Curve, Curves, LossModel
from spaces.pareto import Points, front_indices, hypervolume
from spaces.plan import Plan, QuantizationChoice
from spaces.space import QUANTIZATION, CategoricalParameter, Parameter, RealParameter, Space, Value

LOSS = "loss_target"
STAGE = "stage_multiplier/"

# A target of 1 is this share of the budget: the model may predict too much.
TOP = 2.0
# A stage's losses count up to this factor more or less than the model has it.
STAGE_FACTOR = 2.0
MAX_STAGES = 5
# Shares of the budget that the first plans are predicted to lose.
WARM_SHARES = (1.0, 0.2)
# Another choice is tried at once if it is predicted to be at most so much slower at the budget.
WORTH_A_TRIAL = 1.5
PRICES = np.geomspace(0.02, 200.0, 32)

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

    The numbers are a predicted loss to aim at, a multiplier on the losses of each stage (the groups
    at one resolution), and the quantization choice. The plan is the fastest one
    predicted to lose no more; every group has its own ratio.
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
        self._costs = LayerCosts(layers, space.groups)
        self._curves = Curves(space.groups, sensitivities)
        self._levels = [
            1 - np.array(space.levels(group)[::-1], float) / group.channels
            for group in space.groups
        ]
        self._features = [
            self._curves.feature(index, level) for index, level in enumerate(self._levels)
        ]
        self.stages = _stages(space, layers)
        self._timings = [(plan.quantization.graph, self._row(plan), r) for plan, r in timings]
        self._known: list[tuple[Known, Array]] = []
        self._best: list[Known] = []
        self._front: Points = np.zeros((0, 2))
        self._fitted: int | None = None
        self._fronts: dict[QuantizationChoice, Array] = {}

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
        numbers: dict[str, Parameter] = {LOSS: RealParameter(0.0, 1.0)}
        if len(self.stages) > 1:
            numbers |= {STAGE + name: RealParameter(-1.0, 1.0) for name in self.stages}
        numbers[QUANTIZATION] = CategoricalParameter(tuple(c.value for c in self.space.choices))
        return numbers

    def decode(self, flat: Mapping[str, Value]) -> Plan:
        """Return the fastest plan predicted to lose no more than the numbers say."""
        self._refresh()
        choice = QuantizationChoice(flat[QUANTIZATION])
        target = float(flat[LOSS]) * TOP * self.budget
        weights = self._loss.multipliers.copy()
        for name, members in self.stages.items():
            weights[members] *= STAGE_FACTOR ** float(flat.get(STAGE + name, 0.0))
        return self._fastest(choice, target, weights)

    def encode(self, plan: Plan) -> dict[str, Value]:
        """Return numbers whose plan is near to this one: its own predicted loss as the target."""
        loss = float(self.predict([plan])[0][0])
        flat: dict[str, Value] = {
            LOSS: float(np.clip(loss / (TOP * self.budget), 0.0, 1.0)),
            QUANTIZATION: plan.quantization.value,
        }
        if len(self.stages) > 1:
            flat |= {STAGE + name: 0.0 for name in self.stages}
        return flat

    def propose(self, turn: int, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return a neighbour, a plan that fills the front, and None, in turn."""
        if turn % 3 == 1:
            return self.neighbour(is_tried, rng)
        if turn % 3 == 2:
            return self.filling(is_tried)
        return None

    def filling(self, is_tried: Callable[[Plan], bool]) -> Plan | None:
        """Return the untried plan of the knapsack's fronts that promises the most hypervolume."""
        self._refresh()
        before = self._dominated(self._front)
        found: list[tuple[float, Array, QuantizationChoice]] = []
        for choice in self.space.choices:
            if choice not in self._fronts:
                self._fronts[choice] = self._knapsack(choice, self._loss.multipliers, PRICES)
            ratios = self._fronts[choice]
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

    def _knapsack(self, choice: QuantizationChoice, weights: Array, prices: Array) -> Array:
        losses = [weight * feature for weight, feature in zip(weights, self._features, strict=True)]
        return knapsack_front(self._latency[choice.graph], self._levels, losses, prices)

    def _dominated(self, points: Points) -> float:
        return hypervolume(points, (self.budget, 1.0))

    def neighbour(self, is_tried: Callable[[Plan], bool], rng: Random) -> Plan | None:
        """Return an untried plan near one of the fastest within the budget, None if there is none.

        Of many that move a few groups by a level or two, the one that promises to be the fastest
        within the budget. The models say only what the step changes; where it starts from
        has been measured.
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
        promising = np.flatnonzero((losses <= self.budget) & (latencies < parent.latency_ratio))
        for index in promising[np.argsort(latencies[promising])]:
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

    def _fastest(self, choice: QuantizationChoice, target: float, weights: Array) -> Plan:
        """Return the fastest plan whose predicted loss keeps to the target, stages weighted."""
        latency = self._latency[choice.graph]
        prices = PRICES
        # A second pass over prices between the two that bracket the target.
        for _ in range(2):
            ratios = self._knapsack(choice, weights, prices)
            predicted = self._loss.predict(ratios, [choice] * len(ratios))
            within = np.flatnonzero(predicted <= target)
            if not len(within):
                return Plan.of({}, choice)
            best = within[np.argmin(latency.predict(ratios[within]))]
            chosen = ratios[best]
            prices = np.geomspace(prices[max(0, best - 1)], prices[best], 8)
        return self._plan(chosen, choice)

    def _plan(self, ratios: Array, choice: QuantizationChoice) -> Plan:
        named = {group.name: float(r) for group, r in zip(self.space.groups, ratios, strict=True)}
        return self.space.snap(Plan.of(named, choice))


def _stages(space: Space, layers: Sequence[Layer]) -> dict[str, list[int]]:
    """Return the columns of the groups that work at one resolution, the first stage first."""
    positions: dict[str, int] = {}
    for layer in layers:
        for name in layer.outputs:
            positions.setdefault(name, layer.values // layer.out_channels)
    found: dict[int, list[int]] = {}
    for column, group in enumerate(space.groups):
        found.setdefault(positions.get(group.name, 0), []).append(column)
    ordered = [found[size] for size in sorted(found, reverse=True)]
    while len(ordered) > MAX_STAGES:
        smallest = min(range(len(ordered) - 1), key=lambda i: len(ordered[i]) + len(ordered[i + 1]))
        ordered[smallest : smallest + 2] = [ordered[smallest] + ordered[smallest + 1]]
    return {str(index): members for index, members in enumerate(ordered)}
