"""What a study prints between its stages and at its end."""

from __future__ import annotations

from collections.abc import Sequence

from search.config import RunConfig
from search.console import Display, front_shown, trial_table
from search.context import StudyContext
from search.needs import trials_at_once
from search.records.ledger import Ledger
from search.records.manifest import Manifest
from search.records.run_folder import JOURNAL, RunFolder
from search.records.stage_files import Winner
from search.reporting.advice import as_timed, next_steps, winner_lines
from search.schedule.durations import about, duration_text
from search.schedule.estimates import estimate, layers_seconds, survey_seconds
from search.schedule.fitting import LAYERS_SHARE
from search.schedule.forecast import Standing
from spaces.plan import Plan
from spaces.space import Space
from trainables.results import Baseline, Untimed


def say_untimed(found: Sequence[object], display: Display) -> None:
    """Print why some plans could not be timed."""
    for item in found:
        if isinstance(item, Untimed):
            display.say(f"{'':<12} a plan cannot be timed: {item.reason}")


def say_first_guess(study: StudyContext, baseline: Baseline) -> None:
    """Print a first estimate of the whole duration, from the unpruned model's speed."""
    config = study.config
    at_once = trials_at_once(config, study.cluster.now())
    words = first_guess(config, baseline, at_once, study.clock.elapsed_s())
    study.display.say(f"{'ahead':<12} {words}")


def first_guess(config: RunConfig, baseline: Baseline, at_once: int, elapsed_s: float) -> str:
    """Return how long a run takes, in words; with a deadline, what comes before its search.

    `elapsed_s` are the seconds since its start.
    """
    surveys = survey_seconds(config, baseline, at_once)
    # Layers are measured only if INT8 throughout loses enough, and there is the time.
    layers = layers_seconds(config, baseline, at_once)
    if config.within is not None:
        layers = min(layers, LAYERS_SHARE * max(0.0, config.within - elapsed_s))
        return (
            f"about {about(surveys, surveys + layers)} before the search; the run ends within "
            f"{duration_text(config.within)} of its start"
        )
    guess = estimate(config, baseline, config.trials, at_once)
    total = about(surveys + guess.least_s, surveys + layers + guess.total_s)
    return f"about {total} in all; a first estimate, before any plan is trained"


def say_estimate(
    study: StudyContext, baseline: Baseline, ledger: Ledger, space: Space, first: Sequence[Plan]
) -> None:
    """Print how long the rest of the run will take; with a deadline that is known.

    The search may end early if the most pruned plan keeps the budget: if it is predicted to, it is
    among the plans that are tried `first`.
    """
    config = study.config
    if config.within is not None:
        return
    at_once = trials_at_once(config, study.cluster.now())
    left = max(0, config.trials - len(ledger.records) + len(ledger.retryable()))
    guess = estimate(
        config,
        baseline,
        left,
        at_once,
        Standing.of(ledger.records.values(), len(ledger.fidelities)) if ledger.records else None,
        may_end_early=any(map(space.is_floor, first)),
    )
    study.display.say(f"{'ahead':<12} {guess.in_words(left, at_once)}")


def say_result(
    study: StudyContext, space: Space, ledger: Ledger, winner: Winner, manifest: Manifest
) -> None:
    """Print the front, the delivered model, and the trials that were lost."""
    config, display = study.config, study.display
    title = f"\nPareto front on val, {as_timed(config.latency_batch, config.threads)}"
    display.console.print(trial_table(front_shown(ledger), ledger, title))
    for line in winner_lines(manifest, winner.trial, space.is_floor(winner.plan)):
        display.say(line)
    if winner.plan.float_layers:
        display.say(f"in float beside INT8: {', '.join(winner.plan.float_layers)}")
    retries, lost_s = ledger.lost()
    if retries:
        display.say(f"{retries} trials restarted after their worker was lost, {lost_s:.0f} s lost")


def say_next(display: Display, run: RunFolder, *, finished: bool) -> None:
    """Print what can be done with a run, as commands to paste."""
    display.say("\nnext:")
    journal = run.path / JOURNAL
    for step in next_steps(run.address, finished, journal if journal.is_file() else None):
        display.say(f"  {step.command}    # {step.what}", paste=True)
