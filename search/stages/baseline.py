"""The unpruned model, evaluated, exported and timed, and its pruning groups."""

from __future__ import annotations

from search.console import Display
from search.context import StudyContext
from search.records.run_folder import run_once
from search.reporting.advice import batch_hint, budget_in_numbers, chance_warning
from search.workers import call_worker
from trainables.jobs import baseline_job
from trainables.results import Baseline


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
    warning = chance_warning(baseline)
    if warning is not None:
        display.say_below(warning)
    for excluded in baseline.excluded:
        display.say_below(f"excluded: {excluded.name}: {excluded.reason}")
