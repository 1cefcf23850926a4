"""Plans by the rules of today's tools, and warm starts from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from spaces.errors import ConfigError
from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from spaces.space import Space

# group -> ((ratio, relative metric loss with only this group pruned), ...), ratios ascending.
Sensitivities = Mapping[str, Sequence[tuple[float, float]]]

# Losses of one group alone in the warm starts, as shares of the budget. PaddleX's default is 0.5.
# Larger ones are useful too: training recovers most of what the groups lose together. A guess.
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
# Width at which the bisection of a threshold ends. A guess.
TOLERANCE = 1e-6
# A group is sensitive throughout if it loses more than this at its lowest measured ratio; PaddleOCR
# does not prune such layers. A guess.
SENSITIVE = 0.1


def uniform(space: Space, ratio: float, quantization: QuantizationChoice) -> Plan:
    """Return the plan with one ratio in all groups, as PaddleClas does; branches stay."""
    ratios = {group.name: ratio for group in space.groups if not group.is_branch}
    return space.snap(Plan.of(ratios, quantization))


def threshold_ratio(curve: Sequence[tuple[float, float]], threshold: float) -> float:
    """Return the highest ratio at which a group alone loses at most `threshold`.

    PaddleX's rule: the last measured ratio within the threshold, interpolated linearly towards
    the next one; 0 if even the first loses more.
    """
    best, loss_there = 0.0, 0.0
    for ratio, loss in curve:
        if loss > threshold:
            if best and loss > loss_there:
                best += (ratio - best) * (threshold - loss_there) / (loss - loss_there)
            return best
        best, loss_there = ratio, loss
    return best


def equal_loss_threshold(
    space: Space,
    sensitivities: Sensitivities,
    threshold: float,
    quantization: QuantizationChoice,
    removes_branches: bool = False,
) -> Plan:
    """Return the plan in which each group alone loses at most `threshold`.

    The rule of PaddleX (`eval_metric_loss`) and PaddleSlim (`sensitive_prune`), which know no
    branches: these stay, unless `removes_branches`. It does not bound what the groups lose
    together.
    """
    ratios = {
        group.name: threshold_ratio(sensitivities.get(group.name, ()), threshold)
        for group in space.groups
        if removes_branches or not group.is_branch
    }
    return space.snap(Plan.of(ratios, quantization))


def sensitive_throughout(sensitivities: Sensitivities, loss: float = SENSITIVE) -> set[str]:
    """Return the groups that lose more than `loss` at their lowest measured ratio."""
    return {group for group, curve in sensitivities.items() if curve and curve[0][1] > loss}


def flops_target(
    space: Space,
    costs: LayerCosts,
    sensitivities: Sensitivities,
    removed: float,
    quantization: QuantizationChoice,
    excluded: Collection[str] = (),
) -> Plan:
    """Return the equal-loss plan that removes a share of the multiply-adds, 0 to below 1.

    The rule of PaddleSeg (`pruning_ratio`) and PaddleOCR: the threshold is bisected until the share
    is reached, or exceeded by less than a step of the alignment. PaddleSlim's
    `get_ratios_by_sensitivity` stops where a rounded share repeats, and may end anywhere.
    Raises ConfigError if the groups that are not excluded hold less than `removed`.
    """
    curves = {group: curve for group, curve in sensitivities.items() if group not in excluded}

    def at(threshold: float) -> tuple[Plan, float]:
        plan = equal_loss_threshold(space, curves, threshold, quantization)
        remaining = costs.multiply_adds(ratio_matrix(space.groups, [plan]))[0]
        return plan, 1 - float(remaining)

    low = 0.0
    high = max((loss for curve in curves.values() for _, loss in curve), default=0.0) + 1.0
    plan, share = at(high)
    if share < removed:
        raise ConfigError(
            f"{removed:.3g} of the multiply-adds cannot be removed; the groups that are "
            f"not excluded hold {share:.3g}; aim lower"
        )
    while high - low > TOLERANCE:
        middle = (low + high) / 2
        tried, share = at(middle)
        if share >= removed:
            plan, high = tried, middle
        else:
            low = middle
    return plan


def warm_starts(space: Space, sensitivities: Sensitivities, budget: float) -> list[Plan]:
    """Return the plans a search begins with, none twice.

    The unpruned model in every choice, then equal-loss thresholds around the budget in INT8 (in the
    first choice, if the space has no INT8): the results of today's tools, and the same with the
    branches removed that lose no more than the threshold.
    """
    plans = [Plan.of({}, choice) for choice in space.choices]
    preferred = (QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT)
    choice = next((c for c in preferred if c in space.choices), space.choices[0])
    plans += [
        equal_loss_threshold(space, sensitivities, share * budget, choice, removes_branches)
        for removes_branches in (False, True)
        for share in THRESHOLDS
    ]
    return list(dict.fromkeys(plans))
