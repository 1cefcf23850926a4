"""The search: Ray Tune runs the trials; our searcher and scheduler choose and stop them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from ray import tune
from ray.tune.utils.log import Verbosity

from clusters.resources import Resources
from clusters.waiting import Awaited, said_while
from search.config import RunConfig
from search.context import StudyContext
from search.needs import trial_resources, trials_at_once
from search.records.ledger import Ledger
from search.records.prospects import rounded_up
from search.records.run_folder import JOURNAL, RAY
from search.schedule.deadline import deadline_of
from search.schedule.estimates import LevelSeconds, level_seconds
from search.schedule.outlook import Outlook
from search.tune import ray_quirks
from search.tune.outcomes import OutcomeCallback
from search.tune.overdue import TrialWatch
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from search.tune.stopping import BudgetScheduler
from search.tune.trackers import tensorboard, tracker_callbacks
from search.tune.watching import Metrics, listening
from spaces.errors import ConfigError, StudyError
from trainables.results import Baseline
from trainables.trainable import NUMBER, CompressionTrainable


def _as_tune_names(asked: Resources) -> dict[str, float]:
    """Return resources under Ray Tune's names: "cpu" and "gpu", all others unchanged."""
    return {name.lower() if name in ("CPU", "GPU") else name: v for name, v in asked.items()}


def _tune(
    study: StudyContext,
    baseline: Baseline,
    searcher: PlanSearcher,
    scheduler: BudgetScheduler,
    ledger: Ledger,
    watch: TrialWatch,
    trainable: type[tune.Trainable],
) -> None:
    """Run trials until the searcher has no more to suggest."""
    told = tune.with_parameters(
        trainable, settings=study.settings, baseline=baseline, node=study.node
    )
    ray_quirks.leave_callbacks_uncounted()
    tuner = tune.Tuner(
        tune.with_resources(told, _as_tune_names(trial_resources(study.config))),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            # The searcher ends the search: a trial that is lost does not count.
            num_samples=-1,
            max_concurrent_trials=trials_at_once(study.config, study.cluster.now()),
            reuse_actors=True,
            trial_name_creator=lambda trial: f"plan-{trial.config[NUMBER]:06d}",
            trial_dirname_creator=lambda trial: f"plan-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(study.run.path / RAY),
            callbacks=[
                # First: it must give the reason before OutcomeCallback asks for it.
                watch,
                OutcomeCallback(searcher),
                *tracker_callbacks(study.config.trackers, study.run.path),
            ],
            verbose=Verbosity.V0_MINIMAL,
            failure_config=tune.FailureConfig(max_failures=0),
            # Repeating a trial costs less than checkpointing all of them.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    display = study.display
    with said_while(
        Awaited("search", trial_resources(study.config)),
        display.say_below,
        quiet=display.console.is_terminal,
        running=watch.in_words,
    ):
        tuner.fit()


def _left_s(
    study: StudyContext,
    levels: Sequence[LevelSeconds],
    ledger: Ledger,
    searcher: PlanSearcher,
    trials: int,
) -> Callable[[], float]:
    """Return what tells the seconds until the end of a search of this number of trials."""
    if searcher.deadline is not None:
        return searcher.deadline.spare_s
    at_once = trials_at_once(study.config, study.cluster.now())
    running, closing = searcher.running, searcher.closing
    return Outlook(levels, ledger, trials, at_once, running=running, closing=closing).left_s


def out_of_reach(config: RunConfig, baseline: Baseline, sources: Sources) -> str | None:
    """Return which bound no plan of the space is predicted to keep, and what to do; None if there
    are plans that may keep all."""
    found = None if sources.judge is None else sources.judge.unreachable()
    if found is None:
        return None
    quantity, ratio = found
    if quantity == "latency":
        bound = f"--max-latency-ms {config.max_latency_ms:g}"
        least = f"to take less than {rounded_up(ratio * baseline.latency_ms):g} ms"
    else:
        bound = f"--max-size-bytes {config.max_size_bytes}"
        least = f"to have fewer than {rounded_up(ratio * baseline.size_bytes):.0f} bytes"
    return (
        f"{bound}: no plan of this space is predicted {least}; give that or more, or a "
        "greater -o max_ratio"
    )


def check_bounds(config: RunConfig, baseline: Baseline, sources: Sources) -> None:
    """Raise ConfigError if no plan of the space is predicted to keep the bounds."""
    found = out_of_reach(config, baseline, sources)
    if found is not None:
        raise ConfigError(found)


def search_plans(
    study: StudyContext,
    baseline: Baseline,
    sources: Sources,
    ledger: Ledger,
    trainable: type[tune.Trainable] = CompressionTrainable,
) -> int:
    """Try plans until `config.trials` are finished, or the time is needed for the rest of the run;
    return how many suggestions were repeats.

    If all earlier trials failed, they are tried again. `trainable` is Ray's side of a trial, given
    the study's settings, baseline and node. Raises StudyError if every trial failed.
    """
    config, run = study.config, study.run
    retryable = ledger.retryable()
    trials = config.trials + len(retryable)
    deadline = deadline_of(study, baseline, ledger)
    searcher = PlanSearcher(
        sources,
        ledger,
        run.path / JOURNAL,
        config.seed,
        limits=Limits(trials, config.retries, config.finalists, deadline),
        again=[record.plan for record in retryable],
    )
    if searcher.rebuilt:
        study.display.say(
            f"{'journal':<12} Optuna's was damaged, or written by an older version: it is made "
            f"again from the tables; the old one is beside it as {JOURNAL}.damaged"
        )
    levels = level_seconds(config, baseline)
    scheduler = BudgetScheduler(config.max_latency_ratio, searcher.explain, ledger.goal.max_latency)
    most = "" if deadline is None else "at most "
    watch = TrialWatch(ledger, levels[0].typical_s, config.trial_limit_s, searcher.explain)
    with (
        study.stage("search", f"{most}{config.trials} plans within a loss of {config.budget:g}"),
        study.display.trials(ledger, trials, _left_s(study, levels, ledger, searcher, trials)),
        listening(ledger, Metrics(ledger)),
        # A run that is killed has spent this time.
        listening(ledger, lambda _: study.clock.persist()),
        tensorboard(config.trackers, ledger, run.path),
    ):
        while not searcher.done:
            before = ledger.writes
            _tune(study, baseline, searcher, scheduler, ledger, watch, trainable)
            if ledger.writes == before and not searcher.done:
                raise StudyError(
                    "Ray Tune ended without a finished trial; the run can be carried on with "
                    f"--resume {shlex.quote(run.address)}"
                )
    if searcher.exhausted and sources.judge is not None:
        why = out_of_reach(config, baseline, sources) or (
            "no other plan of this space is predicted to keep the bounds"
        )
        study.display.say_below(f"ended after {len(ledger.records)} of {trials} plans: {why}")
    _check_not_all_failed(ledger, run.address)
    return searcher.repeats


def _check_not_all_failed(ledger: Ledger, address: str) -> None:
    failed = ledger.retryable()
    if failed:
        raise StudyError(
            f"all {len(failed)} trials failed; trial {failed[-1].number}: "
            f"{failed[-1].result.reason}; once that is repaired --resume "
            f"{shlex.quote(address)} tries as many again"
        )
