"""A problem in which loss and latency of every plan come from a formula.

A search takes a second, so thousands can be compared.

The formula has the difficulties of real problems: latency is a staircase in channels and couples a
layer's producer and consumer; sensitivities saturate and predict a group's true loss only roughly;
losses of several groups exceed their sum; the speed-up by a precision differs between layers; and
measurements are noisy. Its constants are guesses near the built-in problem's figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.setup import LATENCY_POINTS, Setup
from spaces.layers import Layer, LayerCosts, ratio_matrix
from spaces.measurements import fast_choices, reference_plans, timing_plans
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from trainables.results import Measurement, TrialResult

SPEED = {"float": 1.0, "bfloat16": 0.38, "int8": 0.27}
QUANTIZATION_LOSS = {
    QuantizationChoice.FLOAT: 0.0,
    QuantizationChoice.BFLOAT16: 0.0005,
    QuantizationChoice.INT8_PTQ: 0.004,
    QuantizationChoice.INT8_QAT: 0.002,
    QuantizationChoice.INT8_QAT_PACT: 0.003,
}
# Quantization-aware training leaves more quantize operators in the export than calibration.
QAT_SLOWER = 1.5
# What a level leaves of a loss x is `left` x + GROWTH x^2 (LOG: what full training leaves of a
# large loss).
GROWTH = 1.0
# Seeds of random numbers: of the levels of a plan and of a problem; more than a search has seeds.
LEVELS, SEEDS = 1_000_001, 10_000


def chain(depth: int, width: int) -> tuple[tuple[PruningGroup, ...], tuple[Layer, ...]]:
    """Return groups and layers of a chain of convolutions: four resolutions, widths doubling."""
    groups, layers = [], []
    previous, channels_before = {}, 3
    for index in range(depth):
        stage = 4 * index // depth
        channels = width * 2**stage
        positions = (32 >> stage) ** 2
        name = f"conv{index:02d}.weight"
        groups.append(PruningGroup(name, channels))
        layers.append(
            Layer(
                name=f"conv{index:02d}",
                multiply_adds=9 * positions * channels * channels_before,
                values=positions * channels,
                out_channels=channels,
                in_channels=channels_before,
                outputs={name: 1.0},
                inputs=dict(previous),
            )
        )
        previous, channels_before = {name: 1.0}, channels
    layers.append(Layer("head", 10 * channels_before, 10, 10, channels_before, {}, dict(previous)))
    return tuple(groups), tuple(layers)


KINDS: dict[str, dict[str, float]] = {"tabulated": {}, "misled": {"misled": 1.5}}
"""Fields of `Tabulated` by kind. A problem is named by kind and number, as in "misled-3"."""


def is_tabulated(problem: str) -> bool:
    return problem.partition("-")[0] in KINDS


def tabulated(problem: str) -> Tabulated:
    kind, _, seed = problem.partition("-")
    return Tabulated(int(seed), **KINDS[kind])


@dataclass
class Tabulated:
    """One problem, drawn at random from its seed."""

    seed: int = 0
    depth: int = 12
    width: int = 32
    budget: float = 0.05
    noise: float = 0.004
    latency_noise: float = 0.015
    misled: float = 0.6
    """Standard deviation of log(sensitivity / loss after training in full) over groups."""
    fidelities: tuple[float, ...] = (1 / 64, 1 / 16, 1 / 4, 1.0)
    """Of the levels of training, ascending; the last is 1."""
    unlike: float = 0.15
    """Standard deviation of the logarithm of what a level leaves of a loss, over plans."""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        groups, self.layers = chain(self.depth, self.width)
        self.space = Space(groups)
        self.costs = LayerCosts(self.layers, groups)
        count = len(self.layers)
        # A layer's time is not proportional to its arithmetic.
        self._compute = self.costs.compute * rng.lognormal(0, 0.5, count)
        self._traffic = self.costs.traffic * rng.lognormal(0, 0.5, count)
        self._uneven = {
            precision: rng.lognormal(0, 0.0 if precision == "float" else 0.3, count)
            for precision in SPEED
        }
        self._unpruned = self._raw_latency(np.zeros((1, self.depth)), "float")[0]
        # Each group's loss after training in full, and how steeply it rises.
        self._worth = rng.lognormal(np.log(0.5 * self.budget), 0.8, self.depth)
        self._power = rng.uniform(1.3, 2.6, self.depth)
        self._seen = rng.lognormal(0, self.misled, self.depth)
        self._dither = rng.normal(0, 0.003, (self.depth, 8))
        # What each level leaves of a small loss: about half, another share on every problem.
        steps = np.random.default_rng([self.seed, LEVELS]).normal(
            np.log(0.42), 0.25, len(self.fidelities) - 1
        )
        self._left = np.exp(np.minimum(steps, -0.1))

    def _raw_latency(self, ratios: np.ndarray, precision: str) -> np.ndarray:
        work, written = self.costs.remaining(ratios, block=16)
        per_layer = 0.8 * work * self._compute + 0.2 * written * self._traffic
        return 0.06 * SPEED[precision] ** 0.5 + SPEED[precision] * (
            per_layer @ self._uneven[precision]
        )

    def true_latency(self, plan: Plan) -> float:
        """Return the latency ratio without noise."""
        ratios = ratio_matrix(self.space.groups, [plan])
        choice = plan.quantization
        raw = self._raw_latency(ratios, choice.precision)[0] / self._unpruned
        return float(raw * (QAT_SLOWER if choice.is_trained else 1.0))

    def true_loss(self, plan: Plan) -> float:
        """Return the metric loss after training in full, without noise."""
        ratios = ratio_matrix(self.space.groups, [plan])[0]
        alone = self._worth * ratios**self._power / (1.05 - ratios) ** 0.5
        total = alone.sum()
        # Pruned neighbours add to each other's loss.
        total += 0.5 * (np.sqrt(alone[:-1] * alone[1:])).sum()
        return float(0.35 * total + QUANTIZATION_LOSS[plan.quantization])

    def _rng(self, plan: Plan, seed: int) -> np.random.Generator:
        return np.random.default_rng([int(plan.key[:12], 16), seed, self.seed])

    def timing(self, plan: Plan) -> float:
        """Return the latency ratio with noise; always the same for the same plan."""
        noise = self._rng(plan, 1).normal(0, self.latency_noise)
        return self.true_latency(plan) * float(np.exp(noise))

    def level_loss(self, plan: Plan, level: int) -> float:
        """Return the metric loss after a level of training, without noise.

        Plans differ in what a level leaves of their loss, always by the same plan's share.
        """
        unlike = self._rng(plan, LEVELS).normal(0, self.unlike, len(self._left))
        loss = self.true_loss(plan)
        for left in (self._left * np.exp(unlike))[level:][::-1]:
            before = (np.sqrt(left**2 + 4 * GROWTH * max(loss, 0.0)) - left) / (2 * GROWTH)
            loss = max(loss, float(before))
        return loss

    def evaluate(self, plan: Plan, seed: int = 0, level: int | None = None) -> TrialResult:
        """Return the result of a trial after a level of training; by default of one that was
        trained in full at once. `seed` is its training's.
        """
        last = len(self.fidelities) - 1
        asked, level = level, last if level is None else level
        noise = self._rng(plan, seed + 2 + SEEDS * (last - level)).normal(0, self.noise)
        loss = self.level_loss(plan, level) + float(noise)
        result = TrialResult(
            "COMPLETE" if level == last else "PAUSED",
            metric=0.9 * (1 - loss),
            metric_loss=loss,
            standard_error=self.noise,
            latency_ratio=self.timing(plan),
            size_bytes=1000,
            level=asked or 0,
            fidelity=self.fidelities[level],
        )
        if asked is not None:
            result.measurements.append(
                Measurement(
                    "quantize", level, result.fidelity, 0.9 * (1 - loss), loss, self.noise, None
                )
            )
        return result

    def sensitivities(self, points: int = 6) -> dict[str, list[tuple[float, float]]]:
        """Return each group's loss alone, before fine-tuning: saturating and noisy."""
        curves = {}
        for index, group in enumerate(self.space.groups):
            grid = np.linspace(0, self.space.max_ratio, points + 1)[1:]
            worth = self._worth[index] * self._seen[index]
            loss = 0.85 * (1 - np.exp(-8 * worth * grid ** self._power[index] / (1.05 - grid)))
            loss = loss + self._dither[index, :points]
            curves[group.name] = [(float(r), float(v)) for r, v in zip(grid, loss, strict=True)]
        return curves

    def setup(self, seed: int) -> Setup:
        """Return what a method is given for this problem."""
        shapes = [Plan(), *reference_plans(self.space)]
        close = fast_choices([(plan, self.timing(plan)) for plan in shapes])
        for choice in close:
            shapes += timing_plans(self.space, choice, LATENCY_POINTS // len(close), seed)
        return Setup(
            name=f"tabulated-{self.seed}",
            space=self.space,
            layers=self.layers,
            sensitivities=self.sensitivities(),
            timings=[(plan, self.timing(plan)) for plan in dict.fromkeys(shapes)],
            budget=self.budget,
            seed=seed,
        )
