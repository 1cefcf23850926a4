"""How fast plans are: the shapes of some, timed untrained, to predict all others from."""

from __future__ import annotations

import json

from search.context import StudyContext
from search.narration import say_untimed
from search.records.columns import cells
from search.records.run_folder import run_once
from search.records.search_space import reference_timings
from search.records.stage_files import Timings
from search.records.tables import Row
from search.workers import each_result
from spaces.measurements import fast_choices, timing_plans
from spaces.plan import QuantizationChoice
from spaces.space import Space
from trainables.jobs import latency_job
from trainables.results import Baseline, TimedShape

# Calls that share the shapes. Each loads its model first, which takes seconds. A guess.
CALLS = 4


def time_shapes(study: StudyContext, baseline: Baseline, space: Space) -> Timings:
    """Return the latency ratios of some plans: the references, and of plans in the fast choices."""

    def compute() -> Timings:
        known = reference_timings(baseline, space)
        close = fast_choices(known)
        shapes = _time_on_workers(study, baseline, space, known, close)
        study.store.write("latency", "table", map(_row, shapes))
        study.display.say(
            f"{'':<12} {len(shapes)} shapes, {sum(shape.reused for shape in shapes)} of them "
            f"known, fastest {', '.join(choice.value for choice in close)}"
        )
        return [*known, *((shape.plan, shape.reading.ratio) for shape in shapes)]

    with study.stage("latency", "shapes of plans, to predict all others"):
        timings: Timings = run_once(study.run, "latency", compute)
    return timings


def _time_on_workers(
    study: StudyContext,
    baseline: Baseline,
    space: Space,
    known: Timings,
    close: list[QuantizationChoice],
) -> list[TimedShape]:
    """Return the timed plans in the fast choices, without those already known."""
    config = study.config
    points = max(2, config.latency_points // max(1, len(close)))
    plans = [
        plan
        for choice in close
        for plan in timing_plans(space, choice, points, config.seed)
        if plan not in dict(known)
    ]
    arguments = {
        str(start): (study.settings, baseline, study.node, plans[start::CALLS])
        for start in range(min(CALLS, len(plans)))
    }
    placement = study.timing_placement(baseline, config.threads)
    parts = dict(each_result(study.display, "parts", latency_job, arguments, placement))
    found = [item for start in arguments for item in parts[start]]
    say_untimed(found, study.display)
    return [item for item in found if isinstance(item, TimedShape)]


def _row(shape: TimedShape) -> Row:
    plan = json.dumps(shape.plan.to_json())
    return {"stage": "table", "plan": plan, "reused": shape.reused, **cells(shape.reading)}
