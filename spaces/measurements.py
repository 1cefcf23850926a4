"""What is measured before a search: sensitivities, reference timings and timings of plans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spaces.heuristics import uniform
from spaces.layers import Array
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space, thinned

# The references' ratio in all groups. The last is as narrow as most winners: a model narrower than
# all references is timed worst (LOG: a third reference).
REFERENCE_RATIOS = (0.0, 0.5, 0.8)
# A choice is fast if its fastest timing is at most this multiple of the least. A guess.
FAST = 1.3
# Greatest offset of one group's ratio in a timed plan, as a share of the greatest ratio. A guess.
GROUP_SPREAD = 0.5


def sensitivity_ratios(space: Space, group: PruningGroup, points: int) -> list[float]:
    """Return the ratios at which a group is measured: at most `points` of its levels, ascending."""
    pruned = [count for count in space.levels(group) if count < group.channels]
    return [round(1 - count / group.channels, 6) for count in thinned(pruned[::-1], points)]


def reference_plans(space: Space) -> list[Plan]:
    """Return the plans that all others are timed beside: wide and narrow ones in every choice, and
    the narrowest without its branches.

    Choices that are timed alike share theirs.
    """
    choices = dict.fromkeys(choice.timed_as for choice in space.choices)
    plans = []
    for choice in choices:
        plans += [uniform(space, ratio, choice) for ratio in REFERENCE_RATIOS]
        plans.append(without_branches(space, plans[-1]))
    # The unpruned model in float is the baseline itself.
    return [plan for plan in dict.fromkeys(plans) if plan != Plan()]


def without_branches(space: Space, plan: Plan) -> Plan:
    """Return a plan with all its branches removed."""
    branches = {group.name: 1.0 for group in space.groups if group.is_branch}
    return space.snap(Plan.of(dict(plan.ratios) | branches, plan.precisions))


def fast_choices(timings: Sequence[tuple[Plan, float]]) -> list[QuantizationChoice]:
    """Return the choices whose fastest plan is nearly the fastest of all, the fastest first.

    Empty if nothing was timed.
    """
    fastest: dict[QuantizationChoice, float] = {}
    for plan, ratio in timings:
        choice = plan.quantization.timed_as
        fastest[choice] = min(ratio, fastest.get(choice, ratio))
    least = min(fastest.values(), default=0.0)
    return sorted((c for c, r in fastest.items() if r <= FAST * least), key=fastest.__getitem__)


def timing_plans(space: Space, choice: QuantizationChoice, points: int, seed: int) -> list[Plan]:
    """Return plans of one choice whose timings separate the layers, none twice.

    Every second plan has branches removed.
    """
    rows = timing_ratios(points, len(space.groups), space.max_ratio, seed)
    branches = np.flatnonzero([group.is_branch for group in space.groups])
    rows[:, branches] = removed_branches(points, len(branches), seed)
    plans = [
        space.snap(
            Plan.of({g.name: float(r) for g, r in zip(space.groups, row, strict=True)}, choice)
        )
        for row in rows
    ]
    return list(dict.fromkeys(plans))


def timing_ratios(count: int, groups: int, max_ratio: float, seed: int) -> Array:
    """Return ratios of plans whose timings separate the layers, shape (count, groups).

    One ratio per plan, evenly spaced, and a random offset per group, so that every layer is timed
    both wide beside narrow neighbours and narrow beside wide ones.
    """
    rng = np.random.default_rng(seed)
    levels = np.linspace(0, max_ratio, count)
    moved = levels[:, None] + GROUP_SPREAD * max_ratio * rng.uniform(-1, 1, (count, groups))
    moved[0] = 0.0
    ratios: Array = np.clip(moved, 0.0, max_ratio)
    return ratios


def removed_branches(count: int, branches: int, seed: int) -> Array:
    """Return which branches are removed in timed plans, 1 or 0, shape (count, branches).

    None in every second plan, the first included; in each other plan one at least. Each branch is
    removed in half of the others, or in one more, so that every layer is timed in networks with
    and without it.
    """
    # Its own numbers: the ratios stay as they are without branches.
    rng = np.random.default_rng([seed, branches])
    others = np.arange(1, count, 2)
    removed = np.zeros((count, branches))
    for branch in range(branches):
        removed[rng.permutation(others)[: -(-len(others) // 2)], branch] = 1.0
    for row in others:
        if branches and not removed[row].any():
            removed[row, rng.integers(branches)] = 1.0
    return removed
