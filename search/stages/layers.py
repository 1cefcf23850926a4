"""What INT8 costs and brings in each layer, measured over the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from search.context import StudyContext
from search.workers import each_result, split_evenly
from spaces.mixing import LayerCost
from trainables.jobs import layers_job
from trainables.results import Baseline


def measure_layer_costs(
    study: StudyContext, baseline: Baseline, layers: Sequence[str]
) -> list[LayerCost]:
    """Return each layer's cost, measured by workers or read from the cache."""
    workers = study.cluster.now().cpus // study.config.threads
    arguments = {
        part: (study.settings, baseline, study.node, names)
        for part, names in split_evenly(layers, workers).items()
    }
    costs: dict[str, LayerCost] = {}
    from_cache = 0
    with study.stage("layers", f"INT8 but for one of {len(layers)} layers, each in turn"):
        for _, found in each_result(
            study.display, "parts", layers_job, arguments, study.placement(timed=True)
        ):
            for cost, cached in found:
                costs[cost.layer] = cost
                from_cache += cached
        study.display.say(f"{'':<12} {from_cache} of them known from the cache")
    return [costs[layer] for layer in layers]
