"""Plans known before any search: what today's tools would choose, and warm starts from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from spaces.errors import ConfigError
from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from spaces.space import Space

# group -> ((ratio, relative metric loss with only this group pruned), ...), ratios ascending.
Sensitivities = Mapping[str, Sequence[tuple[float, float]]]

# Shares of the budget that one group alone may lose. PaddleX's default threshold is
# half of the loss its users accept; sums over groups stay well below their bound, and
# fine-tuning recovers most of it, so the useful ones are larger than the budget.
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
# How close a threshold is bisected, and the loss at its lowest ratio that makes a group sensitive
# throughout: PaddleOCR leaves such layers alone.
CLOSE = 1e-6
SENSITIVE = 0.1


def uniform(space: Space, ratio: float, quantization: QuantizationChoice) -> Plan:
    """Return the plan with one ratio everywhere, PaddleClas's way."""
    return space.snap(Plan.of({group.name: ratio for group in space.groups}, quantization))


def threshold_ratio(curve: Sequence[tuple[float, float]], threshold: float) -> float:
    """Return the highest ratio at which a group alone loses no more than `threshold`.

    PaddleX's rule: the last ratio measured within the threshold, then linearly on
    to where the next one's loss crosses it; 0 if even the first is beyond it.
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
    space: Space, sensitivities: Sensitivities, threshold: float, quantization: QuantizationChoice
) -> Plan:
    """Return the plan in which each group alone loses at most `threshold`.

    The way of PaddleX (`eval_metric_loss`) and PaddleSlim (`sensitive_prune`).
    Nothing bounds what the groups lose together.
    """
    ratios = {
        group.name: threshold_ratio(sensitivities.get(group.name, ()), threshold)
        for group in space.groups
    }
    return space.snap(Plan.of(ratios, quantization))


def sensitive_throughout(sensitivities: Sensitivities, loss: float = SENSITIVE) -> set[str]:
    """Return the groups that lose more than `loss` at the lowest ratio they were measured at."""
    return {group for group, curve in sensitivities.items() if curve and curve[0][1] > loss}


def flops_target(
    space: Space,
    costs: LayerCosts,
    sensitivities: Sensitivities,
    removed: float,
    quantization: QuantizationChoice,
    left_alone: Collection[str] = (),
) -> Plan:
    """Return the equal-loss plan that removes this share of the multiply-adds, 0 to below 1.

    The way of PaddleSeg (`pruning_ratio`) and PaddleOCR: the threshold is bisected until the share
    is reached; steps of the alignment may take it a little beyond. PaddleSlim's
    `get_ratios_by_sensitivity` stops where a rounded share repeats, and may end anywhere.
    Raises ConfigError if the groups that are not left alone do not hold so much.
    """
    curves = {group: curve for group, curve in sensitivities.items() if group not in left_alone}

    def at(threshold: float) -> tuple[Plan, float]:
        plan = equal_loss_threshold(space, curves, threshold, quantization)
        kept = costs.multiply_adds(ratio_matrix(space.groups, [plan]))[0]
        return plan, 1 - float(kept)

    low = 0.0
    high = max((loss for curve in curves.values() for _, loss in curve), default=0.0) + 1.0
    plan, share = at(high)
    if share < removed:
        raise ConfigError(
            f"{removed:.3g} of the multiply-adds cannot be removed; {share:.3g} is the most that "
            "the groups which are not left alone hold; aim lower"
        )
    while high - low > CLOSE:
        middle = (low + high) / 2
        tried, share = at(middle)
        if share >= removed:
            plan, high = tried, middle
        else:
            low = middle
    return plan


def warm_starts(space: Space, sensitivities: Sensitivities, budget: float) -> list[Plan]:
    """Return the plans a search begins with, none twice.

    The unpruned model in every precision, then equal-loss thresholds around the
    budget in INT8 (float, where INT8 is not offered): where today's tools end.
    """
    plans = [Plan.of({}, choice) for choice in space.choices]
    preferred = (QuantizationChoice.INT8_PTQ, QuantizationChoice.INT8_QAT)
    choice = next((c for c in preferred if c in space.choices), space.choices[0])
    plans += [
        equal_loss_threshold(space, sensitivities, share * budget, choice) for share in THRESHOLDS
    ]
    return list(dict.fromkeys(plans))
