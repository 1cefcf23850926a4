"""What is worth measuring before a search: ratios of a group, plans to time."""

from __future__ import annotations

from collections.abc import Sequence

from spaces.heuristics import uniform
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.planning.latency_model import plans_to_time
from spaces.space import Space, thinned

# The references' ratios, in all groups: they show what each graph gains by pruning. The narrow one
# is as narrow as most winners: a model narrower than all references is timed worst.
REFERENCE_RATIOS = (0.0, 0.5, 0.8)
# Graphs at most so much slower than the fastest, pruned, share the other timings. A guess.
CLOSE = 1.3


def sensitivity_ratios(space: Space, group: PruningGroup, points: int) -> list[float]:
    """Return the ratios at which a group is measured: its own levels, ascending, thinned."""
    kept = [count for count in space.levels(group) if count < group.channels]
    return [round(1 - count / group.channels, 6) for count in thinned(kept[::-1], points)]


def shapes_to_time(space: Space, graph: QuantizationChoice, points: int, seed: int) -> list[Plan]:
    """Return plans whose timings tell the layers of one graph apart, none twice."""
    rows = plans_to_time(points, len(space.groups), space.max_ratio, seed)
    plans = [
        space.snap(
            Plan.of({g.name: float(r) for g, r in zip(space.groups, row, strict=True)}, graph)
        )
        for row in rows
    ]
    return list(dict.fromkeys(plans))


def close_graphs(timings: Sequence[tuple[Plan, float]]) -> list[QuantizationChoice]:
    """Return the graphs that are nearly as fast as the fastest, by their fastest plan, in order.

    None if nothing was timed.
    """
    fastest: dict[QuantizationChoice, float] = {}
    for plan, ratio in timings:
        graph = plan.quantization.graph
        fastest[graph] = min(ratio, fastest.get(graph, ratio))
    least = min(fastest.values(), default=0.0)
    return sorted((g for g, r in fastest.items() if r <= CLOSE * least), key=fastest.__getitem__)


def reference_plans(space: Space) -> list[Plan]:
    """Return the plans that all others are timed beside: in every graph wide and narrow ones."""
    graphs = dict.fromkeys(choice.graph for choice in space.choices)
    plans = [uniform(space, ratio, graph) for graph in graphs for ratio in REFERENCE_RATIOS]
    # The unpruned model in float is the baseline itself.
    return [plan for plan in dict.fromkeys(plans) if plan != Plan()]
