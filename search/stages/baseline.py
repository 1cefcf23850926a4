"""The unpruned model, evaluated, exported and timed, its pruning groups, and its engine."""

from __future__ import annotations

from search.config import changed
from search.console import Display
from search.context import StudyContext
from search.records.run_folder import read_config, run_once, write_config
from search.reporting.advice import batch_hint, budget_in_numbers, chance_warning, nothing_to_prune
from search.workers import call_worker
from spaces.errors import StudyError
from spaces.plan import QuantizationChoice
from trainables.deployment.engines.registry import LISTINGS
from trainables.jobs import baseline_job, engines_job
from trainables.results import Baseline, EngineTime

# Engines of the CPU beside Paddle Inference.
OTHER_ENGINES = tuple(kind for kind, listing in LISTINGS.items() if listing.packages)


def choose_engine(study: StudyContext) -> StudyContext:
    """Return the study with the engine that models are searched for.

    With `engine=auto` that is the one on which the unpruned model is fastest, in any precision of
    the choices; it is the run's own from then on. On other engines of the CPU the unpruned model is
    timed beside Paddle Inference, so that what the engine gains is known. Raises StudyError if no
    engine runs the model.
    """
    config = study.config
    if config.engine not in ("auto", *OTHER_ENGINES):
        return study
    choices = config.choices or QuantizationChoice
    precisions = {choice.precision for choice in choices}

    def compute() -> list[EngineTime]:
        auto = config.engine == "auto"
        kinds = None if auto else ("onednn", config.engine)
        found: list[EngineTime] = call_worker(
            study.display,
            "engines",
            *(engines_job, study.settings, study.node, kinds),
            tuple(precisions | {"float"}) if auto else ("float",),
            on=study.placement(timed=True),
        )
        return found

    with study.stage("engines", "the unpruned model on each"):
        times: list[EngineTime] = run_once(study.run, "engines", compute)
    for time in times:
        took = time.reason if time.latency_ms is None else f"{time.latency_ms:.3g} ms"
        study.display.say_below(f"{time.engine} {time.precision}: {took}")
    if config.engine != "auto":
        return study
    able = [t for t in times if t.latency_ms is not None and t.precision in precisions]
    if not able:
        raise StudyError(f"engine=auto: no engine runs the unpruned model; {times[0].reason}")
    fastest = min(able, key=lambda time: time.latency_ms or 0.0)
    study.display.say_below(f"searched for: {fastest.engine}")
    chosen = changed(config, {"engine": fastest.engine})
    write_config(study.run, changed(read_config(study.run.path), {"engine": fastest.engine}))
    return study.configured(chosen)


def measure_baseline(study: StudyContext) -> Baseline:
    """Return the baseline's figures. Its export is in the run folder."""

    def compute() -> Baseline:
        found: Baseline = call_worker(
            study.display,
            "baseline",
            *(baseline_job, study.settings, study.node),
            on=study.placement(timed=True),
        )
        row = {
            "stage": "baseline",
            "latency_ms": found.latency_ms,
            "baseline_latency_ms": found.latency_ms,
            "ratio": 1.0,
            "batch_size": study.settings.latency_batch,
            "threads": study.settings.threads,
            "reused": False,
        }
        study.store.write("latency", "baseline", [row])
        return found

    with study.stage("baseline", f"{study.config.task}: evaluate, export, time"):
        baseline: Baseline = run_once(study.run, "baseline", compute)
    return baseline


def say_remarks(display: Display, baseline: Baseline) -> None:
    """Say what was noticed about the task and its weights."""
    for remark in baseline.remarks:
        display.say_below(remark)


def say_baseline(study: StudyContext, baseline: Baseline) -> None:
    """Say what the budget means for this model, and which groups are excluded."""
    display, settings = study.display, study.settings
    say_remarks(display, baseline)
    display.say_below(
        f"{baseline.metric_name} {baseline.metric:.4f} on val, "
        f"{baseline.latency_ms:.2f} ms a batch of {settings.latency_batch}, "
        f"{baseline.size_bytes / 1e3:,.0f} kB, {len(baseline.groups)} pruning groups, "
        f"{len(baseline.branches)} branches"
    )
    display.say_below(batch_hint(settings.latency_batch, settings.threads))
    display.say_below(budget_in_numbers(baseline, study.config.budget))
    for warning in (chance_warning(baseline), nothing_to_prune(baseline)):
        if warning is not None:
            display.say_below(warning)
    for excluded in baseline.excluded:
        display.say_below(f"excluded: {excluded.name}: {excluded.reason}")
