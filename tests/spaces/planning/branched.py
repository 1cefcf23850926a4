"""A tabulated problem of residual blocks whose branches can be removed."""

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.tabulated import QUANTIZATION_LOSS, SPEED, Tabulated
from spaces.layers import LayerCosts, ratio_matrix
from spaces.space import Space
from tests.spaces.networks import residual


@dataclass
class Branched(Tabulated):
    """As `Tabulated`; every layer costs something however narrow, and branches that are removed
    together lose more than their sum."""

    blocks: int = 6
    constant: float = 0.08
    """What the unpruned model's operators cost however narrow they are, as a latency ratio."""
    with_branches: bool = True

    def __post_init__(self):
        groups, layers = residual(self.blocks, self.width)
        self.everything, self.depth = groups, len(groups)
        super().__post_init__()
        self.layers = layers
        rng = np.random.default_rng([self.seed, 1])
        self._branch = np.array([group.is_branch for group in groups])
        count = len(self.layers)
        self.all_costs = LayerCosts(self.layers, groups)
        self._compute = self.all_costs.compute * rng.lognormal(0, 0.5, count)
        self._traffic = self.all_costs.traffic * rng.lognormal(0, 0.5, count)
        self._operators = self.constant / count * rng.lognormal(0, 0.4, count)
        self._uneven = {
            precision: rng.lognormal(0, 0.0 if precision == "float" else 0.3, count)
            for precision in SPEED
        }
        self._worth = np.where(self._branch, 2.0, 1.0) * self._worth
        kept = [g for g in groups if self.with_branches or not g.is_branch]
        self.space, self.costs = Space(tuple(kept)), LayerCosts(self.layers, kept)
        self._unpruned = self._raw_latency(np.zeros((1, len(groups))), "float")[0]

    def _raw_latency(self, ratios, precision):
        if not hasattr(self, "all_costs"):
            return np.ones(1)
        work, written = self.all_costs.remaining(ratios, block=16)
        per_layer = 0.8 * work * self._compute + 0.2 * written * self._traffic
        speed, constant = SPEED[precision], self.all_costs.present(ratios) @ self._operators
        return 0.01 + speed**0.5 * constant + speed * (per_layer @ self._uneven[precision])

    def true_latency(self, plan):
        ratios = ratio_matrix(self.everything, [plan])
        return float(self._raw_latency(ratios, plan.quantization.precision)[0] / self._unpruned)

    def true_loss(self, plan):
        ratios = ratio_matrix(self.everything, [plan])[0]
        groups = np.where(self._branch, 0.0, ratios)
        alone = self._worth * groups**self._power / (1.05 - groups) ** 0.5
        gone = (self._worth * ratios)[self._branch]
        removed = gone.sum() * (1 + 0.15 * max(0, np.count_nonzero(gone) - 1))
        return float(0.35 * (alone.sum() + removed) + QUANTIZATION_LOSS[plan.quantization])

    def sensitivities(self, points=6):
        curves = super_curves(self, points)
        for index, group in enumerate(self.everything):
            if group.is_branch:
                # A quarter of it is left after training, as of real branches.
                loss = 0.85 * (1 - np.exp(-1.6 * self._worth[index] * self._seen[index]))
                curves[group.name] = [(1.0, float(loss))]
        return {group.name: curves[group.name] for group in self.space.groups}

    def without(self):
        """Return the same problem in a space without branches."""
        return replace(self, with_branches=False)


def super_curves(problem, points):
    """Return the curves of `Tabulated` for all groups, whatever the space has."""
    whole = Tabulated.sensitivities
    space, problem.space = problem.space, Space(problem.everything)
    try:
        return whole(problem, points)
    finally:
        problem.space = space
