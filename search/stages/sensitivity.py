"""What each group's pruning costs: that group alone, at each ratio, over the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from search.context import StudyContext
from search.records.columns import cells
from search.records.run_folder import run_once
from search.records.stage_files import Curves
from search.workers import each_result
from spaces.heuristics import Sensitivities
from spaces.measurements import sensitivity_ratios
from spaces.space import Space
from trainables.jobs import sensitivity_job
from trainables.results import Baseline

# Parts of the sensitivities for each place. In each the model is built, traced and exported once,
# which takes longer than a small validation split; of more parts, the last to end are shorter.
PARTS = 3


def split_evenly(names: Sequence[str], places: int) -> dict[str, list[str]]:
    """Return names in parts, PARTS of them for each place, each part under its first name."""
    count = max(1, min(len(names), PARTS * places))
    return {names[start]: list(names[start::count]) for start in range(min(count, len(names)))}


def measure_sensitivities(study: StudyContext, baseline: Baseline, space: Space) -> Sensitivities:
    """Return every group's curve, measured by tasks over the whole cluster, or from the cache."""

    def compute() -> Curves:
        points = study.config.sensitivity_points
        ratios = {g.name: sensitivity_ratios(space, g, points) for g in space.groups}
        places = study.cluster.now().cpus // study.config.threads
        told = {
            part: (study.settings, baseline, study.node, {name: ratios[name] for name in names})
            for part, names in split_evenly(list(ratios), places).items()
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

    with study.stage("sensitivity", "each group alone, at each ratio"):
        found: Curves = run_once(study.run, "sensitivity", compute)
    return found
