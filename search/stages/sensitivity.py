"""The sensitivities: each pruning group alone, at each ratio, measured over the whole cluster."""

from __future__ import annotations

from search.context import StudyContext
from search.records.columns import cells
from search.records.run_folder import run_once
from search.records.stage_files import Curves
from search.workers import each_result, split_evenly
from spaces.heuristics import Sensitivities
from spaces.measurements import sensitivity_ratios
from spaces.space import Space
from trainables.jobs import sensitivity_job
from trainables.results import Baseline


def measure_sensitivities(study: StudyContext, baseline: Baseline, space: Space) -> Sensitivities:
    """Return every group's curve, measured by workers or read from the cache."""

    def compute() -> Curves:
        points = study.config.sensitivity_points
        ratios = {g.name: sensitivity_ratios(space, g, points) for g in space.groups}
        workers = study.cluster.now().cpus // study.config.threads
        arguments = {
            part: (study.settings, baseline, study.node, {name: ratios[name] for name in names})
            for part, names in split_evenly(list(ratios), workers).items()
        }
        curves: Curves = {}
        from_cache, missing = 0, 0
        for _, found in each_result(
            study.display, "parts", sensitivity_job, arguments, study.placement(timed=False)
        ):
            for group, (rows, cached) in found.items():
                from_cache += cached
                missing += sum(row.metric_loss is None for row in rows)
                study.store.write("sensitivity", group.replace("/", "_"), map(cells, rows))
                curves[group] = [
                    (row.ratio, row.metric_loss) for row in rows if row.metric_loss is not None
                ]
        study.display.say(
            f"{'':<12} {len(curves)} groups, {from_cache} of them known from the cache"
        )
        if missing:
            study.display.say(f"{'':<12} {missing} of their values could not be measured")
        return {group.name: curves[group.name] for group in space.groups}

    with study.stage("sensitivity", "each group alone, at each ratio"):
        found: Curves = run_once(study.run, "sensitivity", compute)
    return found
