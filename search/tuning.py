"""The search itself: Ray Tune runs the trials, our Searcher and scheduler decide."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.utils.log import Verbosity

from search.context import StudyContext
from search.ledger import Ledger
from search.outcomes import OutcomeCallback
from search.run_folder import JOURNAL, RAY
from search.searcher import PlanSearcher
from search.stopping import BudgetScheduler
from search.trackers import tracker_callbacks
from search.watching import MetricsCallback
from spaces.encoding import Encoding
from spaces.errors import StudyError
from spaces.plan import Plan
from trainables.trainable import CompressionTrainable


def room(study: StudyContext) -> int:
    """Return how many trials run at a time, at most."""
    config, cluster = study.config, study.cluster.now()
    places = max(1, cluster.cpus // config.threads)
    if config.gpus_per_trial:
        places = min(places, max(1, int(cluster.gpus / config.gpus_per_trial)))
    return config.concurrency or places


def _tune(
    study: StudyContext,
    baseline: dict[str, Any],
    searcher: PlanSearcher,
    scheduler: BudgetScheduler,
    ledger: Ledger,
    trainable: type[tune.Trainable],
) -> None:
    """Run trials until the searcher has no more to suggest."""
    told = tune.with_parameters(
        trainable, settings=study.settings, baseline=baseline, node=study.node
    )
    tuner = tune.Tuner(
        tune.with_resources(told, study.trial_resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            # The searcher knows when it is enough: a trial that is lost does not count.
            num_samples=-1,
            max_concurrent_trials=room(study),
            reuse_actors=True,
            trial_name_creator=lambda trial: f"plan-{trial.config['number']:06d}",
            trial_dirname_creator=lambda trial: f"plan-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(study.run.path / RAY),
            callbacks=[
                OutcomeCallback(searcher),
                MetricsCallback(ledger),
                *tracker_callbacks(study.config.trackers, ledger, study.run.path),
            ],
            verbose=Verbosity.V0_MINIMAL,
            failure_config=tune.FailureConfig(max_failures=0),
            # Doing a trial again costs less than checkpointing all of them.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def search_plans(
    study: StudyContext,
    baseline: dict[str, Any],
    encoding: Encoding,
    warm_starts: Sequence[Plan],
    ledger: Ledger,
    trainable: type[tune.Trainable] = CompressionTrainable,
) -> int:
    """Try plans until `config.trials` are finished; return how many suggestions were repeats.

    `trainable` is Ray's side of a trial, given the study's settings, baseline and node. Raises
    StudyError if every trial failed.
    """
    config, run = study.config, study.run
    scheduler = BudgetScheduler(ledger, config.max_latency_ratio)
    searcher = PlanSearcher(
        encoding,
        ledger,
        run.path / JOURNAL,
        config.seed,
        warm_starts,
        scheduler.reasons,
        trials=config.trials,
        retries=config.retries,
    )
    if searcher.rebuilt:
        study.display.say(
            f"{'journal':<12} Optuna's was damaged: made again from the tables, the old one is "
            f"beside it as {JOURNAL}.damaged"
        )
    with study.display.trials(ledger, config.trials):
        while len(ledger.records) < config.trials and not searcher.exhausted:
            before = len(ledger.records)
            _tune(study, baseline, searcher, scheduler, ledger, trainable)
            if len(ledger.records) == before and not searcher.exhausted:
                raise StudyError(
                    "Ray Tune ended without a finished trial; the run can be carried on with "
                    f"--resume {shlex.quote(run.address)}"
                )
    failed = ledger.failed()
    if failed and len(failed) == len(ledger.records):
        raise StudyError(
            f"all {len(failed)} trials failed; trial {failed[-1].number}: "
            f"{failed[-1].result.reason}"
        )
    return searcher.repeats
