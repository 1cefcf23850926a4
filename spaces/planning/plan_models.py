"""Models of every plan's loss and costs, refitted as trials finish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spaces.goal import LATENCY, Goal, Quantity
from spaces.layers import Array, Layer, LayerCosts, ratio_matrix
from spaces.mixing import Int8Costs
from spaces.plan import MixedInt8, Plan, Precisions, QuantizationChoice
from spaces.planning.cost_model import CostModel, LayerSum, multiply_adds_model, size_model
from spaces.planning.known import Known
from spaces.planning.latency_model import LatencyModel
from spaces.planning.loss_model import Curve, Curves, LossModel
from spaces.planning.measured import MeasuredPlans
from spaces.planning.settings import PlannerSettings
from spaces.space import Space


@dataclass(frozen=True)
class PlanModels:
    """What plans are predicted to lose and to cost, from one fit."""

    loss: LossModel
    latency: Mapping[Precisions, LatencyModel]
    """By `Precisions.timed_as`."""
    loss_error: float
    """Standard deviation of measured losses from predicted ones, near the budget."""
    goal: Goal
    multiply_adds: LayerSum
    size: Mapping[Precisions, LayerSum]
    """By `Precisions.timed_as`; empty if the unpruned model's size is unknown."""

    def model(self, quantity: Quantity, choice: Precisions) -> LayerSum:
        """Return the model of a cost of plans in a choice."""
        if quantity == "multiply_adds":
            return self.multiply_adds
        return (self.size if quantity == "size" else self.latency)[choice.timed_as]

    def cost(self, choice: Precisions) -> CostModel:
        """Return the model of the cost to minimize."""
        return self.model(self.goal.objective, choice)

    def bounded(self, choice: Precisions) -> list[CostModel]:
        """Return the models of the costs that have a bound and are not the one to minimize."""
        objective = self.goal.objective
        return [self.model(q, choice) for q in self.goal.bounds() if q != objective]

    def kept(self, ratios: Array, choice: Precisions, share: float = 1.0) -> NDArray[np.bool_]:
        """Return whether plans of one choice are predicted to keep this share of every bound."""
        found = np.ones(len(ratios), bool)
        for quantity, bound in self.goal.bounds().items():
            found &= self.model(quantity, choice).predict(ratios) <= share * bound
        return found

    def keeps(self, plan: Plan, space: Space) -> bool:
        """Return whether a plan is predicted to keep the bounds."""
        ratios = ratio_matrix(space.groups, [plan])
        return bool(self.kept(ratios, plan.precisions)[0])

    def exceeded(self, plan: Plan, space: Space) -> dict[Quantity, float]:
        """Return by how much a plan is predicted to exceed each bound, as a ratio.

        Only the bounds that it exceeds by more than the error of the prediction.
        """
        ratios, found = ratio_matrix(space.groups, [plan]), {}
        for quantity, bound in self.goal.bounds().items():
            model = self.model(quantity, plan.precisions)
            predicted, error = model.predict(ratios)[0], model.errors(ratios)[0]
            if predicted - error > bound:
                found[quantity] = float(predicted - bound)
        return found

    def losses(self, ratios: Array, choice: Precisions) -> Array:
        """Return the metric losses of plans of one choice, shape (plans,)."""
        return self.loss.predict(ratios, [choice] * len(ratios))

    def costs(self, ratios: Array, choice: Precisions) -> Array:
        """Return the costs of plans of one choice, shape (plans,)."""
        return self.cost(choice).predict(ratios)

    def predict(self, ratios: Array, choices: Sequence[Precisions]) -> tuple[Array, Array]:
        """Return metric losses and costs of plans, each (plans,), each in its choice."""
        costs = [
            self.costs(row[None], choice)[0] for choice, row in zip(choices, ratios, strict=True)
        ]
        return self.loss.predict(ratios, choices), np.array(costs)


class Observations:
    """The timings and measured plans of a study, and the models fitted to them."""

    def __init__(
        self,
        space: Space,
        layers: Sequence[Layer],
        sensitivities: Mapping[str, Curve],
        timings: Iterable[tuple[Plan, float]],
        budget: float,
        settings: PlannerSettings,
        measured: MeasuredPlans,
        goal: Goal = LATENCY,
        int8: Int8Costs | None = None,
    ) -> None:
        """`int8` is needed if the space has mixtures."""
        self._space = space
        self._int8 = int8
        self._settings = settings
        self._scale = max(budget, settings.least_scale)
        self._costs = LayerCosts(layers, space.groups)
        self._curves = Curves(space.groups, sensitivities, settings.loss.floor)
        self._timings = [(plan.precisions.timed_as, self._row(plan), r) for plan, r in timings]
        self._measured = measured
        self._goal = goal
        self._models: PlanModels | None = None
        self._fitted_to = 0

    def models(self) -> PlanModels:
        """Return the models, refitted if enough has been measured since: then a new object."""
        grown = max(self._fitted_to + 1, self._settings.refit_growth * self._fitted_to)
        if self._models is None or self._measured.taken_in >= grown:
            self._models = self._fit(self._measured.latest(self._settings.fitted_trials))
            self._fitted_to = self._measured.taken_in
        return self._models

    def _row(self, plan: Plan) -> Array:
        row: Array = ratio_matrix(self._space.groups, [plan])[0]
        return row

    def _matrix(self, rows: Sequence[Array]) -> Array:
        return np.array(rows).reshape(-1, len(self._space.groups))

    def _fit(self, trials: Sequence[Known]) -> PlanModels:
        rows = ratio_matrix(self._space.groups, [trial.plan for trial in trials])
        loss, error = self._fit_loss(trials, rows)
        timed: dict[Precisions, list[tuple[Array, float]]] = {
            one.timed_as: [] for one in self._space.precisions
        }
        for choice, row, ratio in self._timings:
            timed[choice].append((row, ratio))
        for trial, row in zip(trials, rows, strict=True):
            timed[trial.plan.precisions.timed_as].append((row, trial.latency_ratio))
        latency: dict[Precisions, LatencyModel] = {}
        # Mixtures come last: their models start from that of INT8 throughout.
        for one, pairs in timed.items():
            rows_of = self._matrix([row for row, _ in pairs])
            ratios = np.array([ratio for _, ratio in pairs])
            if isinstance(one, MixedInt8):
                whole, added = latency[QuantizationChoice.INT8_PTQ], self._added(one)
                latency[one] = whole.with_added(added, rows_of, ratios, self._settings.latency)
            else:
                latency[one] = LatencyModel.fit(
                    self._costs, rows_of, ratios, self._settings.latency
                )
        size = self._fit_sizes(trials, rows)
        return PlanModels(loss, latency, error, self._goal, multiply_adds_model(self._costs), size)

    def _added(self, mixed: MixedInt8) -> Array:
        """Return the latency that a mixture adds in each layer, unpruned, shape (layers,)."""
        assert self._int8 is not None
        kept = set(mixed.float_layers)
        names = [layer.name for layer in self._costs.layers]
        return np.array([self._int8.added_in(n) if n in kept else 0.0 for n in names])

    def _fit_sizes(self, trials: Sequence[Known], rows: Array) -> Mapping[Precisions, LayerSum]:
        """Return the models of the exports' sizes; none if the unpruned model's is unknown."""
        whole = self._goal.baseline_bytes
        if whole is None:
            return {}
        stored = [trial.plan.precisions.timed_as for trial in trials]
        sizes = np.array([trial.size_ratio or 0.0 for trial in trials])
        found = {}
        for choice in dict.fromkeys(one.timed_as for one in self._space.precisions):
            own = np.array([one == choice for one in stored], bool) & (sizes > 0)
            found[choice] = size_model(
                *(self._costs, whole, choice.precision == "int8", rows[own], sizes[own]),
                self._settings.size,
                choice.float_layers if isinstance(choice, MixedInt8) else (),
            )
        return found

    def _fit_loss(self, trials: Sequence[Known], rows: Array) -> tuple[LossModel, float]:
        """Return the model of losses after full training, and its error near the budget.

        What is measured after less training is converted, and weighs less for its error.
        """
        losses, errors = self._measured.losses(trials)
        chosen = [trial.plan.precisions for trial in trials]
        settings = self._settings.loss
        # Multipliers and their spreads have to stay above 0, also where training leaves no loss.
        left = max(self._measured.left, settings.least_multiplier)
        settings = replace(settings, multiplier=settings.multiplier * left)
        model = LossModel.fit(
            *(self._curves, self._space.precisions, rows, chosen, losses, settings, errors),
            int8=self._int8,
        )
        misses = model.predict(rows, chosen) - losses
        return model, self._loss_error(losses, errors, misses)

    def _loss_error(self, losses: Array, errors: Array, misses: Array) -> float:
        """Return the standard deviation of losses after full training from predicted ones."""
        settings, scale = self._settings, self._scale
        near = losses <= settings.error_range * scale
        # The prior error counts as one more trial, so that a few lucky predictions do not make
        # the model look exact.
        first = settings.first_error * scale
        squares = np.append((misses**2 + errors**2)[near], first**2)
        # A trial says less of the error, the less sure its own loss is.
        weights = np.append(1 / (1 + (errors[near] / first) ** 2), 1.0)
        variance = float(np.average(squares, weights=weights))
        return max(float(np.sqrt(variance)), settings.least_error * scale)
