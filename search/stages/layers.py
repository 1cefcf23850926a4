"""What INT8 costs and brings in each layer, measured over the whole cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from search.console import percent
from search.context import StudyContext
from search.needs import trials_at_once
from search.records.run_folder import run_once
from search.records.search_space import check_mixtures, with_mixtures
from search.records.stage_files import Timings
from search.schedule.fitting import fits_layers
from search.workers import call_worker, each_result, split_evenly
from spaces.mixing import Int8Costs, LayerCost, WholeInt8
from spaces.plan import Plan, QuantizationChoice
from spaces.space import Space
from trainables.jobs import int8_job, layers_job
from trainables.results import Baseline

LAYERS = "layers"
WHOLE = Plan.of({}, QuantizationChoice.INT8_PTQ)
# Share of the budget from which the loss in INT8 throughout is worth putting layers back: below,
# another plan gains more with that loss. A guess.
LEAST_LOSS = 0.2


def mix_layers(
    study: StudyContext,
    baseline: Baseline,
    space: Space,
    timings: Timings | None,
    tried: Collection[Plan],
) -> tuple[Space, Int8Costs | None]:
    """Return the space with INT8 models that have some layers in float, and what INT8 costs.

    The space as it is and None if nothing is gained by them: see `_measured`. Without timings, and
    in a search that has `tried` plans without this stage, there is nothing to measure for. Raises
    RunFolderError if plans were tried with mixtures that are no longer known.
    """
    found = _costs(study, baseline, timings or [], begun=bool(tried))
    mixed = with_mixtures(space, found, timings or [])
    check_mixtures(study.run.address, mixed, tried)
    if found is not None:
        numbers = ", ".join(str(len(one.float_layers)) for one in mixed.mixed) or "none"
        study.display.say(f"{'':<12} mixtures of INT8 and float, by layers in float: {numbers}")
    return mixed, found


def _costs(
    study: StudyContext, baseline: Baseline, timings: Timings, *, begun: bool
) -> Int8Costs | None:
    """Return what INT8 costs in layers, None if that is not known."""
    whole_ratio = dict(timings).get(WHOLE)
    known: Int8Costs | None = study.run.stage(LAYERS)
    is_on = study.config.layer_precision and whole_ratio is not None
    if known is None and (begun or not is_on):
        return None

    def compute() -> Int8Costs:
        assert whole_ratio is not None
        return _measured(study, baseline, whole_ratio)

    found: Int8Costs = run_once(study.run, LAYERS, compute)
    return found if found.layers else None


def _measured(study: StudyContext, baseline: Baseline, latency_ratio: float) -> Int8Costs:
    """Return what INT8 costs; in layers too if INT8 throughout loses enough of the budget, and
    there is time to measure those that are not in the cache."""
    display, config = study.display, study.config
    with study.stage(LAYERS, "INT8 throughout, unpruned"):
        whole: WholeInt8
        known: list[LayerCost]
        whole, known = call_worker(
            display,
            "INT8",
            *(int8_job, study.settings, baseline, study.node),
            on=study.placement(timed=True),
        )
    if whole.metric_loss is None or whole.damage is None:
        display.say(f"{'':<12} it cannot be measured: {whole.reason}")
        return Int8Costs(0.0, 0.0, latency_ratio)
    found = Int8Costs(whole.metric_loss, whole.damage, latency_ratio)
    loses = f"it loses {percent(whole.metric_loss)}"
    unknown = len(whole.layers) - len(known)
    if whole.metric_loss <= LEAST_LOSS * config.budget:
        display.say(f"{'':<12} {loses}: too little to put layers back to float")
    elif not _fits(study, unknown * whole.seconds):
        display.say(f"{'':<12} {loses}; the run has no time to measure {unknown} layers")
    else:
        display.say(f"{'':<12} {loses}")
        costs = measure_layer_costs(study, baseline, whole.layers, known)
        return replace(found, layers=tuple(costs))
    return found


def _fits(study: StudyContext, work_s: float) -> bool:
    """Return whether a run has the time for this work of its workers."""
    within = study.config.within
    if within is None:
        return True
    at_once = trials_at_once(study.config, study.cluster.now())
    return fits_layers(work_s / at_once, within - study.clock.elapsed_s())


def measure_layer_costs(
    study: StudyContext,
    baseline: Baseline,
    layers: Sequence[str],
    known: Collection[LayerCost] = (),
) -> list[LayerCost]:
    """Return each layer's cost: one that is `known`, or measured by workers, or read from their
    caches."""
    costs = {cost.layer: cost for cost in known}
    unknown = [layer for layer in layers if layer not in costs]
    from_cache = len(costs)
    with study.stage(LAYERS, f"INT8 but for one of {len(layers)} layers, each in turn"):
        for _, found in _on_workers(study, baseline, unknown) if unknown else ():
            for cost, cached in found:
                costs[cost.layer] = cost
                from_cache += cached
        study.display.say(f"{'':<12} {from_cache} of them known from the cache")
    return [costs[layer] for layer in layers]


def _on_workers(
    study: StudyContext, baseline: Baseline, layers: Sequence[str]
) -> Iterator[tuple[str, list[tuple[LayerCost, bool]]]]:
    """Yield parts of the layers, with their costs, in order of ending."""
    arguments = {
        part: (study.settings, baseline, study.node, names)
        for part, names in split_evenly(
            layers, trials_at_once(study.config, study.cluster.now())
        ).items()
    }
    return each_result(study.display, "parts", layers_job, arguments, study.placement(timed=True))
