"""One study: the stages from a budget to a delivered model, in order, a function each.

Every stage leaves its outcome in the run folder, and a resumed study begins with the
first one that has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clusters.connect import Cluster
from clusters.storage import join
from search.advice import (
    as_timed,
    batch_hint,
    budget_in_numbers,
    chance_warning,
    estimate,
    minutes,
    next_steps,
    survey_seconds,
    winner_lines,
)
from search.config import RunConfig
from search.context import StudyContext, cluster_of
from search.deliver import deliver
from search.findings import read_findings
from search.ledger import Ledger
from search.manifest import Manifest
from search.needs import workers_of_retrain
from search.places import check_nodes
from search.progress import Display, trial_table
from search.report import PAGE, PICTURES, write_report
from search.retrain import retrain_winner
from search.run_folder import GAVE_UP, JOURNAL, RAY, RunFolder, run_once
from search.search_space import build_space
from search.stage_files import Winner
from search.surveys import study_latency, study_references, study_sensitivity
from search.tuning import room, search_plans
from search.workers import call_worker
from spaces.encoding import Encoding, LayerEncoding
from spaces.errors import ConfigError, StudyError
from spaces.heuristics import warm_starts
from spaces.plan import Plan
from spaces.planner import Planner
from spaces.space import Space
from trainables.jobs import baseline_job
from trainables.results import Baseline
from trainables.settings import MODEL


@contextmanager
def timed(study: StudyContext, stage: str, text: str) -> Iterator[None]:
    """Announce a stage, and keep its wall seconds also beyond a crash."""
    with study.display.stage(stage, text):
        yield
    study.run.finish_stage("seconds", study.display.stages_s)


def study_baseline(study: StudyContext) -> Baseline:
    """Return the baseline's figures."""

    def compute() -> Baseline:
        settings = study.settings
        baseline: Baseline = call_worker(
            study.display,
            "baseline",
            *(baseline_job, settings, study.node),
            **study.placement(timed=True),
        )
        row = {
            "stage": "baseline",
            "latency_ms": baseline.latency_ms,
            "baseline_latency_ms": baseline.latency_ms,
            "ratio": 1.0,
            "batch_size": settings.latency_batch,
            "threads": settings.threads,
            "reused": False,
        }
        study.store.write("latency", "baseline", [row])
        return baseline

    found: Baseline = run_once(study.run, "baseline", compute)
    return found


def run_study(config: RunConfig, run: RunFolder, display: Display, *, dry: bool = False) -> str:
    """Return the folder or URI of the delivered model; of the run, if `dry`: that ends before the
    first trial. Raises SearchError where there is none.
    """
    display.stages_s.update(run.stage("seconds") or {})
    with cluster_of(config, display) as cluster:
        display.say(
            f"{'ray':<12} {cluster.nodes} nodes, {cluster.cpus} cores, {cluster.gpus} GPUs, "
            f"{dashboard_line(cluster.dashboard)}"
        )
        display.say(f"{'run':<12} {run.address}")
        check_storage(config, cluster)
        study = StudyContext.of(config, run, cluster, display)
        study.store.create()
        # A single node that is about to measure the baseline loads the task for that anyway.
        if cluster.nodes > 1 or run.stage("baseline") is not None:
            check_nodes(study.settings, study.node, display)
        run.forget_stage(GAVE_UP)
        try:
            found = run_stages(study, dry)
        except StudyError as error:
            # The page shows why there is no model.
            run.finish_stage(GAVE_UP, str(error))
            report_run(run, display)
            raise
    if found is None:
        display.say("nothing was searched yet")
        say_next(display, run, finished=False)
        return run.address
    ledger, winner, manifest = found
    run.forget(RAY)
    timed_with = as_timed(config.latency_batch, config.threads)
    display.console.print(
        trial_table(ledger.front(), config.budget, f"\nPareto front on val, {timed_with}")
    )
    say_result(display, config, ledger, winner.trial, manifest)
    report_run(run, display)
    say_next(display, run, finished=True)
    return join(run.address, MODEL)


def run_stages(study: StudyContext, dry: bool) -> tuple[Ledger, Winner, Manifest] | None:
    """Return the trials, the winner and its manifest; None if `dry`. Raises StudyError."""
    config = study.config
    baseline, space, encoding, first = prepare(study)
    ledger = Ledger.load(study.store, config.budget, space.groups, baseline.layers)
    if ledger.damage is not None:
        study.display.say(f"{'tables':<12} {ledger.damage}")
    say_estimate(study, baseline, len(ledger.records) - len(ledger.in_vain()))
    if dry:
        return None
    with timed(study, "search", f"{config.trials} plans within a loss of {config.budget:g}"):
        repeats = search_plans(study, baseline, encoding, first, ledger)
    with timed(study, "retrain", "the fastest feasible plans in full, until one keeps it"):
        winner = retrain_winner(study, baseline, ledger)
    with timed(study, "deliver", "time both, read the test split once, write the manifest"):
        manifest = deliver(study, baseline, ledger, winner, repeats)
    return ledger, winner, manifest


def report_run(run: RunFolder, display: Display) -> None:
    """Leave the page and the pictures of a run in its folder, and on its storage."""
    page = write_report(read_findings(str(run.path)), run.address, run.path)
    if run.folder.storage is not None:
        for file in (page, *(run.path / PICTURES).glob("*.png")):
            run.folder.storage.write(str(file.relative_to(run.path)), file.read_bytes())
    display.say(f"report: {join(run.address, PAGE)}")


def say_estimate(study: StudyContext, baseline: Baseline, done: int) -> None:
    """Say how long what is left of a search will take, more or less."""
    config, places = study.config, room(study)
    left = config.trials - done
    guess = estimate(
        config, baseline, left, places, workers_of_retrain(config, study.cluster.now())
    )
    study.display.say(f"{'ahead':<12} {guess.in_words(left, places)}")


def dashboard_line(dashboard: str | None) -> str:
    """Return where a cluster's dashboard is."""
    if dashboard is None:
        return "no dashboard"
    return f"dashboard http://{dashboard} (token: ray get-auth-token)"


def say_first_guess(study: StudyContext, baseline: Baseline) -> None:
    """Say how long all of it will take, as soon as the model's own pace is known."""
    config, places = study.config, room(study)
    surveys = survey_seconds(config, baseline, len(baseline.groups), places)
    workers = workers_of_retrain(config, study.cluster.now())
    guess = estimate(config, baseline, config.trials, places, workers)
    total = minutes(surveys + guess.search_s + guess.retrain_s)
    study.display.say(
        f"{'ahead':<12} about {total} in all; a first guess, for no plan has been trained yet"
    )


def say_next(display: Display, run: RunFolder, *, finished: bool) -> None:
    """Say what can be done with a run, each a line to paste."""
    display.say("\nnext:")
    journal = run.path / JOURNAL
    for step in next_steps(run.address, finished, journal if journal.is_file() else None):
        display.say(f"  {step.command}    # {step.what}", paste=True)


def check_storage(config: RunConfig, cluster: Cluster) -> None:
    """Raise ConfigError if the cluster's nodes have no place to share the run's files."""
    if cluster.nodes > 1 and config.storage is None:
        raise ConfigError(
            f"storage is not set, and the cluster has {cluster.nodes} nodes: give one that all of "
            "them reach with --storage, a mounted folder or a URI such as s3://bucket/runs"
        )


def say_remarks(display: Display, baseline: Baseline) -> None:
    """Say what the task and its weights say of themselves."""
    for remark in baseline.remarks:
        display.say(f"{'':<12} {remark}")


def prepare(
    study: StudyContext,
) -> tuple[Baseline, Space, Encoding, Sequence[Plan]]:
    """Return the baseline, the space, where its plans come from, and those to begin with."""
    config, display, settings = study.config, study.display, study.settings
    with timed(study, "baseline", f"{config.task}: evaluate, export, time"):
        baseline = study_baseline(study)
    say_remarks(display, baseline)
    display.say(
        f"{'':<12} {baseline.metric_name} {baseline.metric:.4f} on val, "
        f"{baseline.latency_ms:.2f} ms a batch of {settings.latency_batch}, "
        f"{baseline.size_bytes / 1e3:,.0f} kB, {len(baseline.groups)} pruning groups"
    )
    display.say(f"{'':<12} {batch_hint(settings.latency_batch, settings.threads)}")
    display.say(f"{'':<12} {budget_in_numbers(baseline, config.budget)}")
    warning = chance_warning(baseline)
    if warning is not None:
        display.say(f"{'':<12} {warning}")
    if study.run.stage("latency") is None:
        say_first_guess(study, baseline)
    for left_out in baseline.left_out:
        display.say(f"{'':<12} left out: {left_out.name}: {left_out.reason}")
    space = build_space(config, baseline)
    with timed(study, "sensitivity", "each group alone, at each ratio"):
        sensitivities = study_sensitivity(study, baseline, space)
    with timed(study, "references", "models that all others are timed beside"):
        baseline, space = study_references(study, baseline, space)
    if config.sampler != "knapsack" or not space.groups:
        return (
            baseline,
            space,
            LayerEncoding(space),
            warm_starts(space, sensitivities, config.budget),
        )
    layers = baseline.layers
    with timed(study, "latency", "shapes of plans, to predict all others"):
        timings = study_latency(study, baseline, space)
    planner = Planner(space, layers, sensitivities, timings, config.budget)
    return baseline, space, planner, planner.warm_starts()


def say_result(
    display: Display, config: RunConfig, ledger: Ledger, winner: int, manifest: Manifest
) -> None:
    """Say what was delivered, and what it cost to find it."""
    for line in winner_lines(manifest, winner, config.budget):
        display.say(line)
    retries, lost_s = ledger.lost()
    if retries:
        display.say(f"{retries} trials begun anew after their worker was lost, {lost_s:.0f} s lost")
