"""What is measured before the search, by tasks over the whole cluster: what each group's pruning
costs, and how fast plans are."""

from __future__ import annotations

import json
from typing import Any

import ray

from clusters.lease import device_lease
from search.config import RunConfig
from search.progress import Display
from search.run_folder import RunFolder, run_once
from search.store import Store
from search.workers import fetch
from spaces.heuristics import Sensitivities, uniform
from spaces.latency_model import plans_to_time
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space, thinned
from trainables.jobs import latency_job, sensitivity_job
from trainables.settings import TrialSettings

# A task times some shapes one after the other: loading what it needs takes seconds.
TASKS = 4
# Every graph is timed at these ratios in all groups, which shows what it gains by pruning.
ENDS = (0.0, 0.5)
# Graphs at most so much slower than the fastest, pruned, share the other timings.
CLOSE = 1.3


def sensitivity_ratios(space: Space, group: PruningGroup, points: int) -> list[float]:
    """Return the ratios at which a group is measured: its own levels, ascending, thinned."""
    kept = [count for count in space.levels(group) if count < group.channels]
    return [round(1 - count / group.channels, 6) for count in thinned(kept[::-1], points)]


def study_sensitivity(
    config: RunConfig,
    run: RunFolder,
    settings: TrialSettings,
    baseline: dict[str, Any],
    space: Space,
    store: Store,
    display: Display,
) -> Sensitivities:
    """Return every group's curve, measured by tasks over the whole cluster, or from the cache."""

    def compute() -> dict[str, list[tuple[float, float]]]:
        remote = ray.remote(num_cpus=1, num_gpus=config.gpus_per_trial)(sensitivity_job)
        waiting = {
            remote.remote(
                settings,
                baseline,
                group.name,
                sensitivity_ratios(space, group, config.sensitivity_points),
            ): group.name
            for group in space.groups
        }
        curves: dict[str, list[tuple[float, float]]] = {}
        from_cache = 0
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            group = waiting.pop(done[0])
            rows, cached = fetch(done[0])
            from_cache += cached
            store.write("sensitivity", group.replace("/", "_"), rows)
            curves[group] = [
                (row["ratio"], row["metric_loss"]) for row in rows if row["metric_loss"] is not None
            ]
        display.say(f"{'':<12} {len(curves)} groups, {from_cache} of them known from the cache")
        return {group.name: curves[group.name] for group in space.groups}

    curves = run_once(run, "sensitivity", compute)
    return {group: [(ratio, loss) for ratio, loss in curve] for group, curve in curves.items()}


Timings = list[tuple[Plan, float]]


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


def close_graphs(timings: Timings) -> list[QuantizationChoice]:
    """Return the graphs that are nearly as fast as the fastest, by their fastest plan, in order."""
    fastest: dict[QuantizationChoice, float] = {}
    for plan, ratio in timings:
        graph = plan.quantization.graph
        fastest[graph] = min(ratio, fastest.get(graph, ratio))
    least = min(fastest.values())
    return sorted((g for g, r in fastest.items() if r <= CLOSE * least), key=fastest.__getitem__)


def study_latency(
    config: RunConfig,
    run: RunFolder,
    settings: TrialSettings,
    baseline: dict[str, Any],
    space: Space,
    store: Store,
    display: Display,
) -> Timings:
    """Return the latency ratios of some plans, two or more in every graph, most in the fastest."""

    def timed(plans: list[Plan], part: str) -> list[dict[str, Any]]:
        remote = ray.remote(num_cpus=config.threads, num_gpus=config.gpus_per_trial)(latency_job)
        waiting = [
            remote.remote(
                settings, baseline, device_lease(), [plan.to_json() for plan in plans[start::TASKS]]
            )
            for start in range(min(TASKS, len(plans)))
        ]
        found = [row for reference in waiting for row in fetch(reference)]
        for row in found:
            if "reason" in row:
                display.say(f"{'':<12} a shape cannot be timed: {row['reason']}")
        rows = [row for row in found if "reason" not in row]
        written = [{**row, "plan": json.dumps(row["plan"]), "stage": "table"} for row in rows]
        store.write("latency", f"table-{part}", written)
        return rows

    def compute() -> list[tuple[dict[str, Any], float]]:
        graphs = list(dict.fromkeys(choice.graph for choice in space.choices))
        ends = [uniform(space, ratio, graph) for graph in graphs for ratio in ENDS]
        rows = timed(list(dict.fromkeys(ends)), "ends")
        if not rows:
            return []
        pairs = [(Plan.from_json(row["plan"]), float(row["ratio"])) for row in rows]
        close = close_graphs(pairs)
        shapes = [
            plan
            for graph in close
            for plan in shapes_to_time(
                space, graph, max(2, config.latency_points // len(close)), config.seed
            )
        ]
        rows += timed([plan for plan in shapes if plan not in dict(pairs)], "shapes")
        display.say(
            f"{'':<12} {len(rows)} shapes, {sum(row['reused'] for row in rows)} of them known, "
            f"fastest {', '.join(graph.value for graph in close)}"
        )
        return [(row["plan"], row["ratio"]) for row in rows]

    timings = run_once(run, "latency", compute)
    return [(Plan.from_json(plan), ratio) for plan, ratio in timings]
