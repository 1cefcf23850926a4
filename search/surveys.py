"""What is measured before the search, by tasks over the whole cluster: what each group's pruning
costs, and how fast plans are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from search.columns import cells
from search.context import StudyContext
from search.progress import Display
from search.run_folder import run_once
from search.search_space import drop_untimed, timed
from search.stage_files import Curves, References, Timings
from search.workers import call_worker, each_result
from spaces.errors import StudyError
from spaces.heuristics import Sensitivities, uniform
from spaces.latency_model import plans_to_time
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space, thinned
from trainables.jobs import latency_job, reference_job, sensitivity_job
from trainables.results import Baseline, TimedShape, Untimed

# A task times some shapes one after the other: loading what it needs takes seconds.
TASKS = 4
# Parts of the sensitivities for each place. In each the model is built, traced and exported once,
# which takes longer than a small validation split; of more parts, the last to end are shorter.
PARTS = 3
# The references' ratios, in all groups: they show what each graph gains by pruning. The narrow one
# is as narrow as most winners: a model narrower than all references is timed worst.
REFERENCE_RATIOS = (0.0, 0.5, 0.8)
# From this size on, in bytes, a process that timed models is not used again: each engine that lives
# on while another is loaded leaves a copy of its weights behind, in Paddle (LOG.md).
LARGE = 20e6
# Graphs at most so much slower than the fastest, pruned, share the other timings.
CLOSE = 1.3


def sensitivity_ratios(space: Space, group: PruningGroup, points: int) -> list[float]:
    """Return the ratios at which a group is measured: its own levels, ascending, thinned."""
    kept = [count for count in space.levels(group) if count < group.channels]
    return [round(1 - count / group.channels, 6) for count in thinned(kept[::-1], points)]


def in_parts(names: Sequence[str], places: int) -> dict[str, list[str]]:
    """Return names in parts, PARTS of them for each place, each part under its first name."""
    count = max(1, min(len(names), PARTS * places))
    return {names[start]: list(names[start::count]) for start in range(min(count, len(names)))}


def study_sensitivity(study: StudyContext, baseline: Baseline, space: Space) -> Sensitivities:
    """Return every group's curve, measured by tasks over the whole cluster, or from the cache."""

    def compute() -> Curves:
        points = study.config.sensitivity_points
        ratios = {g.name: sensitivity_ratios(space, g, points) for g in space.groups}
        places = study.cluster.now().cpus // study.config.threads
        told = {
            part: (study.settings, baseline, study.node, {name: ratios[name] for name in names})
            for part, names in in_parts(list(ratios), places).items()
        }
        curves: Curves = {}
        from_cache = 0
        for _, found in each_result(
            study.display, "parts", sensitivity_job, told, study.placement(timed=False)
        ):
            for group, (rows, cached) in found.items():
                from_cache += cached
                study.store.write("sensitivity", group.replace("/", "_"), map(cells, rows))
                curves[group] = [
                    (row.ratio, row.metric_loss) for row in rows if row.metric_loss is not None
                ]
        study.display.say(
            f"{'':<12} {len(curves)} groups, {from_cache} of them known from the cache"
        )
        return {group.name: curves[group.name] for group in space.groups}

    found: Curves = run_once(study.run, "sensitivity", compute)
    return found


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


def _say_untimed(found: Sequence[object], display: Display) -> None:
    for item in found:
        if isinstance(item, Untimed):
            display.say(f"{'':<12} a shape cannot be timed: {item.reason}")


def timing_options(study: StudyContext, baseline: Baseline, cpus: float = 1) -> dict[str, Any]:
    """Return Ray's options for a task that times several models."""
    calls = {"max_calls": 1} if baseline.size_bytes > LARGE else {}
    return {**study.placement(timed=True, cpus=cpus), **calls}


def study_references(
    study: StudyContext, baseline: Baseline, space: Space
) -> tuple[Baseline, Space]:
    """Return the baseline with its `references`, the models that all others are timed beside, and
    the space without the choices that none of them could be timed in.

    Raises StudyError if no choice is left.
    """

    def compute() -> References:
        plans = reference_plans(space)
        found: References = call_worker(
            study.display,
            f"{len(plans)} models",
            reference_job,
            *(study.settings, baseline, study.node, plans),
            **timing_options(study, baseline),
        )
        _say_untimed(found, study.display)
        table = [
            {
                "stage": "reference",
                "plan": json.dumps(reference.plan.to_json()),
                "ratio": reference.latency_ratio,
                "latency_ms": reference.latency_ratio * baseline.latency_ms,
                "baseline_latency_ms": baseline.latency_ms,
                "batch_size": study.settings.latency_batch,
                "threads": study.settings.threads,
            }
            for reference in timed(found)
        ]
        study.store.write("latency", "references", table)
        return found

    found: References = run_once(study.run, "references", compute)
    kept = drop_untimed(space, found)
    dropped = ", ".join(c.value for c in space.choices if c not in kept.choices)
    if not kept.choices:
        study.run.forget_stage("references")
        reason = next(item.reason for item in found if isinstance(item, Untimed))
        raise StudyError(
            f"choices {dropped}: no model could be timed, {reason}; mend that, or add float"
        )
    if dropped:
        study.display.say(f"{'':<12} left out: {dropped}: no model could be timed")
    return replace(baseline, references=timed(found)), kept


def reference_timings(baseline: Baseline, space: Space) -> Timings:
    """Return the latency ratios that are known from the references."""
    found: Timings = [(item.plan, item.latency_ratio) for item in baseline.references]
    if QuantizationChoice.FLOAT in space.choices:
        found.append((Plan(), 1.0))
    return found


def study_latency(study: StudyContext, baseline: Baseline, space: Space) -> Timings:
    """Return the latency ratios of some plans: the references, and shapes of the fast graphs."""

    def compute() -> Timings:
        config = study.config
        known = reference_timings(baseline, space)
        close = close_graphs(known)
        plans = [
            plan
            for graph in close
            for plan in shapes_to_time(
                space, graph, max(2, config.latency_points // len(close)), config.seed
            )
            if plan not in dict(known)
        ]
        told = {
            str(start): (study.settings, baseline, study.node, plans[start::TASKS])
            for start in range(min(TASKS, len(plans)))
        }
        options = timing_options(study, baseline, config.threads)
        parts = dict(each_result(study.display, "parts", latency_job, told, options))
        found = [row for start in told for row in parts[start]]
        _say_untimed(found, study.display)
        shapes = [item for item in found if isinstance(item, TimedShape)]
        study.store.write("latency", "table", map(_table_row, shapes))
        study.display.say(
            f"{'':<12} {len(shapes)} shapes, {sum(shape.reused for shape in shapes)} of them "
            f"known, fastest {', '.join(graph.value for graph in close)}"
        )
        return [*known, *((shape.plan, shape.reading.ratio) for shape in shapes)]

    timings: Timings = run_once(study.run, "latency", compute)
    return timings


def _table_row(shape: TimedShape) -> dict[str, Any]:
    plan = json.dumps(shape.plan.to_json())
    return {"stage": "table", "plan": plan, "reused": shape.reused, **cells(shape.reading)}
