"""One study: the stages from a budget to a delivered model, in order.

Every stage persists what it finds in the run folder. A resumed study begins with the first stage
that has not finished.
"""

from __future__ import annotations

from functools import partial

from search.config import RunConfig
from search.console import Display
from search.context import StudyContext, cluster_of
from search.narration import say_estimate, say_first_guess, say_next, say_result
from search.records.clock import StageClock
from search.records.ledger import Ledger
from search.records.run_folder import GAVE_UP, RAY, RunFolder
from search.records.search_space import build_space
from search.reporting.files import report_run
from search.stages import baseline as unpruned
from search.stages import deliver, latency, references, retrain, search, sensitivity, within
from search.tune.plan_source import is_planned, plan_sources
from spaces.errors import StudyError


def run_study(
    config: RunConfig,
    run: RunFolder,
    display: Display,
    *,
    dry: bool = False,
    began: float | None = None,
) -> str:
    """Return the folder or URI of the delivered model.

    `began` is when the command was given, of `time.monotonic`; by default now. With `dry` the
    study ends before the first trial, and the run's address is returned. Raises SearchError if no
    model can be delivered.
    """
    with cluster_of(config, display) as cluster:
        display.say(f"{'ray':<12} {cluster.in_words}")
        display.say(f"{'run':<12} {run.address}")
        clock = StageClock(run.stage("seconds"), partial(run.finish_stage, "seconds"), began)
        study = StudyContext.of(config, run, cluster, display, clock)
        study.begin()
        run.forget_stage(GAVE_UP)
        try:
            delivered = run_stages(study, dry)
        except StudyError as error:
            # The report says why there is no model.
            run.finish_stage(GAVE_UP, str(error))
            report_run(run, display)
            raise
    if delivered:
        run.delete_folder(RAY)
        report_run(run, display)
    else:
        display.say("nothing was searched yet")
    say_next(display, run, finished=delivered)
    return run.model_address if delivered else run.address


def run_stages(study: StudyContext, dry: bool) -> bool:
    """Return whether a model was delivered; not if `dry`. Raises StudyError if none can be."""
    config = study.config
    baseline = unpruned.measure_baseline(study)
    unpruned.say_baseline(study, baseline)
    if study.run.stage("latency") is None:
        say_first_guess(study, baseline)
    space = build_space(config, baseline)
    sensitivities = sensitivity.measure_sensitivities(study, baseline, space)
    baseline, space = references.time_references(study, baseline, space)
    timings = latency.time_shapes(study, baseline, space) if is_planned(config, space) else None
    begun = bool(Ledger.of_run(study.store, config, space.groups, baseline).records)
    study = within.fit_search(study, baseline, begun=begun)
    ledger = Ledger.of_run(study.store, study.config, space.groups, baseline)
    sources = plan_sources(config, space, baseline, sensitivities, timings, ledger)
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
