"""The planner's constants, each with its reason: an entry of LOG.md, a paper, or a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class ProposalKind(Enum):
    """How a proposal is chosen; see `spaces.planning.proposals.Proposals`."""

    OPTIMUM = "optimum"
    NEIGHBOUR = "neighbour"
    FILLING = "filling"
    DRAWN = "drawn"


@dataclass(frozen=True)
class LossSettings:
    """Of the loss model. Spreads and noises are standard deviations."""

    floor: float = 0.01
    """Least slope of a sensitivity curve, so that removing channels is never free. A guess."""
    multiplier: float = 0.1
    """Final loss per summed sensitivity, before any trial (LOG: predicting loss and latency)."""
    branch_multiplier: float = 0.25
    """The same of branches, whose sensitivity is measured with batch norms' statistics anew (LOG:
    whole branches)."""
    least_multiplier: float = 0.1
    """Least common multiplier, as a share of `multiplier`: before any trial, and of a fit. A
    guess."""
    multiplier_spread: float = 2.0
    """Spread of one group's multiplier, as a share of the common one (LOG: the last branch)."""
    branch_spread: float = 4.0
    """The same of branches: the last one may cost many times as much as each alone (LOG: the last
    branch)."""
    noise: float = 0.01
    """Noise of a trial's loss. A guess."""
    relative_noise: float = 0.15
    """Further noise per loss: the sum over groups is less exact where losses are large. A guess."""
    offset_spread: float = 0.02
    """Spread of the loss that a quantization choice adds. A guess."""


@dataclass(frozen=True)
class FidelitySettings:
    """Of the model of what full training leaves. Noises are standard deviations."""

    factor: float = 4.0
    """Growth of the training that `ratio` is for; another growth has a power of it. The default
    of `promotion_factor`, itself a guess."""
    ratio: float = 0.42
    """Share of a small loss that is left after `factor` times the training, before any plan (LOG:
    what full training leaves of a large loss)."""
    strength: float = 3.0
    """Plans, with a loss of the budget, that this share is worth. A guess."""
    growth: float = 1.0
    """By how much that share grows with the loss: a model that has lost much has less capacity
    left to recover with (LOG: what full training leaves of a large loss)."""
    growth_spread: float = 0.5
    """Spread of this growth, for noise as assumed. A guess."""
    noise: float = 0.1
    """Noise of a loss one level later, as a share of the budget: it does not vanish where a loss
    is near 0. A guess."""
    relative_noise: float = 0.15
    """Further noise per loss before. A guess."""
    noise_strength: float = 4.0
    """Plans that the two noises are worth. A guess."""
    least_scale: float = 0.01
    """Budget that smaller ones count as in these noises, as `PlannerSettings.least_scale`. A
    guess."""


@dataclass(frozen=True)
class LatencySettings:
    """Of the latency model. Spreads and noises are standard deviations."""

    shares: tuple[float, float, float] = (0.05, 0.75, 0.2)
    """Prior shares of overhead, arithmetic and memory traffic in the latency. A guess."""
    operators_share: float = 0.8
    """Prior share of the overhead that goes with the layers, where branches can be removed: all
    but what inputs, outputs and a call of the engine cost. A guess."""
    shares_spread: float = 2.0
    """Spread of each of these, as a multiple of it. A guess."""
    layer_spread: float = 1.0
    """Spread of a layer's coefficient, as a share of the one that its multiply-adds or traffic
    suggest: layers of equal multiply-adds differ by a factor of about two. A guess."""
    least_share: float = 0.05
    """Least prior from which `layer_spread` is taken, as a share of the greatest latency: a part
    fitted as 0 may still be above it. A guess."""
    noise: float = 0.03
    """Relative noise of a timing (LOG: predicting loss and latency)."""
    tail: float = 2.0
    """Errors beyond this multiple of the noise weigh less than half. A guess near the 2.385 of
    Holland and Welsch (1977)."""
    reweightings: int = 5
    """Rounds of reweighted least squares. A guess."""
    block: int = 16
    """Channels that vector hardware computes together (LOG: predicting loss and latency)."""


@dataclass(frozen=True)
class SizeSettings:
    """Of the size model. The bytes are those of Paddle's exports."""

    weight: float = 4.0
    """Bytes of a weight in float, and in bfloat16: the engine converts float as it loads (LOG:
    smaller models, and bounds)."""
    quantized_weight: float = 1.0
    """Bytes of an INT8 weight (LOG: smaller models, and bounds)."""
    channel: float = 16.0
    """Bytes of an output channel: four parameters of a batch norm (LOG: smaller models, and
    bounds)."""
    quantized_channel: float = 24.0
    """The same with two scales (LOG: smaller models, and bounds)."""
    least_constant: float = 0.01
    """Least share of the unpruned model's bytes that is never pruned. A guess."""
    spreads: tuple[float, float, float] = (1.0, 0.1, 0.5)
    """Spreads of the constant and of the bytes per weight and per channel, as shares. A guess."""
    noise: float = 0.005
    """Relative error of a predicted size after all. A guess."""


@dataclass(frozen=True)
class KnapsackSettings:
    """Of the knapsack's front and of the steps between its corners."""

    lowest_price: float = 0.02
    """Latency ratio that a metric loss of 1 may cost, at the front's most pruned end. A guess."""
    highest_price: float = 200.0
    """The same at its least pruned end. A guess."""
    price_count: int = 32
    """Prices between the two, evenly spaced in their logarithms. A guess."""
    sweeps: int = 6
    """Greatest number of passes over all groups. A guess."""
    reach: int = 3
    """Greatest number of levels that a step between corners moves a group; the steps are worth
    5 to 15 % of the latency (LOG: plans between the corners), their size is a guess."""
    pairs: int = 32
    """Pairs of moves predicted exactly, the best by the sum of their gains. A guess."""
    steps: int = 20
    """Greatest number of steps from a corner. A guess."""
    bound_weights: tuple[float, ...] = (0.0, 0.5, 2.0, 8.0)
    """Weights of a bounded cost beside the one that is minimized; each has its front. A guess."""
    bound_share: float = 0.97
    """Share of a bound that a plan may be predicted to have: predictions have errors, such as
    `LatencySettings.noise`. A guess."""

    @property
    def prices(self) -> NDArray[np.float64]:
        return np.geomspace(self.lowest_price, self.highest_price, self.price_count)


@dataclass(frozen=True)
class ProposalSettings:
    """Of the plans that the planner proposes."""

    turns: tuple[ProposalKind | None, ...] = (
        ProposalKind.FILLING,
        ProposalKind.OPTIMUM,
        ProposalKind.NEIGHBOUR,
    )
    """The kind proposed at every turn, in a cycle; None leaves the turn to a drawn plan. Each kind
    is a gain, drawn plans are none (LOG: what each part is worth, pair by pair)."""
    optimum_shares: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1)
    """Shares of the budget that an optimum may be predicted to lose (LOG: plans between the
    corners)."""
    drawn_range: float = 2.0
    """Greatest share of the budget that a drawn plan may be predicted to lose: above 1, since the
    model may predict too much. A guess."""
    draws: int = 3
    """Draws in a row that may repeat plans. A guess."""
    parents: int = 2
    """Fastest plans within the budget from which a neighbour may start. A guess."""
    neighbours: int = 200
    """Neighbours drawn for one proposal. A guess."""
    moved_groups: int = 3
    """Greatest number of groups in which a neighbour differs. A guess."""
    moved_levels: int = 2
    """Greatest number of levels by which it differs there. A guess."""
    neighbour_error: float = 0.5
    """Error of a neighbour's predicted loss, as a share of any plan's: its parent's loss has been
    measured. A guess."""


@dataclass(frozen=True)
class PlannerSettings:
    """Of the planner. The ablation (`benchmarks.ablation`) varies these fields."""

    loss: LossSettings = field(default_factory=LossSettings)
    fidelity: FidelitySettings = field(default_factory=FidelitySettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    size: SizeSettings = field(default_factory=SizeSettings)
    knapsack: KnapsackSettings = field(default_factory=KnapsackSettings)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)

    least_scale: float = 0.01
    """Losses are scaled by the budget, or by this where the budget is smaller: shares of a budget
    near 0 would all mean the same plan. A guess."""
    warm_shares: tuple[float, ...] = (1.0, 0.2)
    """Shares of the budget that the first plans are predicted to lose; two more changed nothing
    (LOG: the new search, first figures)."""
    warm_slowdown: float = 1.5
    """Another choice has a warm start if it is at most this much slower at the budget. A guess."""

    first_error: float = 0.3
    """Error of predicted losses before any trial, as a share of the budget. A guess."""
    least_error: float = 0.1
    """Least error of predicted losses, as a share of the budget. A guess."""
    error_range: float = 2.5
    """Trials that lose more than this share of the budget do not count for the error. A guess."""

    refit_growth: float = 1.02
    """The models are refitted when the trials have grown by this factor: a fit takes time,
    and one trial in hundreds teaches little (LOG: suggestions after 10,000 trials)."""
    fitted_trials: int = 500
    """Latest trials that the models are fitted to (LOG: suggestions after 10,000 trials)."""
    learns: bool = True
    """Whether finished trials are used at all; worth 11 to 17 % of the latency (LOG: what each part
    is worth, pair by pair)."""


DEFAULT_SETTINGS = PlannerSettings()
