"""Models of every plan's loss and latency, refitted as trials finish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spaces.layers import Array, Layer, LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.known import Known
from spaces.planning.latency_model import LatencyModel
from spaces.planning.loss_model import Curve, Curves, LossModel
from spaces.planning.settings import PlannerSettings
from spaces.space import Space


@dataclass(frozen=True)
class PlanModels:
    """What plans are predicted to lose and how long they take, from one fit."""

    loss: LossModel
    latency: Mapping[QuantizationChoice, LatencyModel]
    """By `QuantizationChoice.timed_as`."""
    loss_error: float
    """Standard deviation of measured losses from predicted ones, near the budget."""

    def losses(self, ratios: Array, choice: QuantizationChoice) -> Array:
        """Return the metric losses of plans of one choice, shape (plans,)."""
        return self.loss.predict(ratios, [choice] * len(ratios))

    def latencies(self, ratios: Array, choice: QuantizationChoice) -> Array:
        """Return the latency ratios of plans of one choice, shape (plans,)."""
        return self.latency[choice.timed_as].predict(ratios)

    def predict(self, ratios: Array, choices: Sequence[QuantizationChoice]) -> tuple[Array, Array]:
        """Return metric losses and latency ratios of plans, each (plans,), each in its choice."""
        latencies = [
            self.latencies(row[None], choice)[0]
            for choice, row in zip(choices, ratios, strict=True)
        ]
        return self.loss.predict(ratios, choices), np.array(latencies)


class Observations:
    """The timings and finished trials of a study, and the models fitted to them."""

    def __init__(
        self,
        space: Space,
        layers: Sequence[Layer],
        sensitivities: Mapping[str, Curve],
        timings: Iterable[tuple[Plan, float]],
        budget: float,
        settings: PlannerSettings,
    ) -> None:
        self._space = space
        self._settings = settings
        self._scale = max(budget, settings.least_scale)
        self._costs = LayerCosts(layers, space.groups)
        self._curves = Curves(space.groups, sensitivities, settings.loss.floor)
        self._timings = [(plan.quantization.timed_as, self._row(plan), r) for plan, r in timings]
        self._trials: list[tuple[Known, Array]] = []
        self._models: PlanModels | None = None
        self._fitted_to = 0

    def add(self, trials: Sequence[Known]) -> None:
        self._trials += [(trial, self._row(trial.plan)) for trial in trials]

    def models(self) -> PlanModels:
        """Return the models, refitted if enough trials have been added: then a new object."""
        grown = max(self._fitted_to + 1, self._settings.refit_growth * self._fitted_to)
        if self._models is None or len(self._trials) >= grown:
            self._models = self._fit(self._trials[-self._settings.fitted_trials :])
            self._fitted_to = len(self._trials)
        return self._models

    def _row(self, plan: Plan) -> Array:
        row: Array = ratio_matrix(self._space.groups, [plan])[0]
        return row

    def _matrix(self, rows: Sequence[Array]) -> Array:
        return np.array(rows).reshape(-1, len(self._space.groups))

    def _fit(self, trials: Sequence[tuple[Known, Array]]) -> PlanModels:
        loss = LossModel.fit(
            self._curves,
            self._space.choices,
            self._matrix([row for _, row in trials]),
            [trial.plan.quantization for trial, _ in trials],
            np.array([trial.metric_loss for trial, _ in trials]),
            self._settings.loss,
        )
        timed: dict[QuantizationChoice, list[tuple[Array, float]]] = {
            choice.timed_as: [] for choice in self._space.choices
        }
        for choice, row, ratio in self._timings:
            timed[choice].append((row, ratio))
        for trial, row in trials:
            timed[trial.plan.quantization.timed_as].append((row, trial.latency_ratio))
        latency = {
            choice: LatencyModel.fit(
                self._costs,
                self._matrix([row for row, _ in pairs]),
                np.array([ratio for _, ratio in pairs]),
                self._settings.latency,
            )
            for choice, pairs in timed.items()
        }
        return PlanModels(loss, latency, self._loss_error(loss, trials))

    def _loss_error(self, loss: LossModel, trials: Sequence[tuple[Known, Array]]) -> float:
        settings, scale = self._settings, self._scale
        near = [(t, row) for t, row in trials if t.metric_loss <= settings.error_range * scale]
        if not near:
            return settings.first_error * scale
        predicted = loss.predict(
            np.array([row for _, row in near]), [trial.plan.quantization for trial, _ in near]
        )
        errors = predicted - np.array([trial.metric_loss for trial, _ in near])
        # The prior error counts as one more trial, so that a few lucky predictions do not make
        # the model look exact.
        variance = (np.sum(errors**2) + (settings.first_error * scale) ** 2) / (len(near) + 1)
        return max(float(np.sqrt(variance)), settings.least_error * scale)
