"""One study: the stages from a budget to a delivered model, in order.

Every stage persists what it finds in the run folder. A resumed study begins with the first stage
that has not finished.
"""

from __future__ import annotations

from search.context import StudyContext
from search.narration import say_estimate, say_first_guess, say_result
from search.stages import baseline as unpruned
from search.stages import deliver, latency, layers, references, retrain, search, sensitivity, within
from search.tune.plan_source import is_planned, plan_sources


def run_stages(study: StudyContext, dry: bool) -> bool:
    """Return whether a model was delivered; not if `dry`. Raises StudyError if none can be."""
    study = unpruned.choose_engine(study)
    baseline = unpruned.measure_baseline(study)
    unpruned.say_baseline(study, baseline)
    study = within.fit_survey(study, baseline)
    config = study.config
    if study.run.stage("latency") is None:
        say_first_guess(study, baseline)
    space = study.space(baseline)
    sensitivities = sensitivity.measure_sensitivities(study, baseline, space)
    baseline, space = references.time_references(study, baseline, space)
    timings = latency.time_shapes(study, baseline, space) if is_planned(config, space) else None
    tried = study.ledger(baseline, space).plans()
    space, int8 = layers.mix_layers(study, baseline, space, timings, tried)
    begun = bool(tried)
    study = within.fit_search(study, baseline, begun=begun)
    ledger = study.ledger(baseline, space)
    sources = plan_sources(config, space, baseline, sensitivities, timings, ledger, int8)
    if not begun:
        search.check_bounds(config, baseline, sources)
    if ledger.damage is not None:
        study.display.say(f"{'tables':<12} {ledger.damage}")
    say_estimate(study, baseline, ledger, space, sources.first)
    if dry:
        return False
    repeats = search.search_plans(study, baseline, sources, ledger)
    winner = retrain.retrain_winner(study, baseline, ledger)
    manifest = deliver.deliver(study, baseline, ledger, winner, repeats)
    say_result(study, space, ledger, winner, manifest)
    return True
