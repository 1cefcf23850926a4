"""The search itself: Ray Tune runs the trials, our Searcher and scheduler decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.utils.log import Verbosity

from clusters.connect import Cluster
from clusters.lease import device_lease
from search.config import RunConfig
from search.ledger import Ledger
from search.progress import Display, FailureCallback
from search.run_folder import RunFolder
from search.searcher import PlanSearcher
from search.stopping import BudgetScheduler
from spaces.encoding import Encoding
from spaces.errors import StudyError
from spaces.plan import Plan
from trainables.settings import TrialSettings
from trainables.trainable import CompressionTrainable


def search_plans(
    config: RunConfig,
    run: RunFolder,
    settings: TrialSettings,
    baseline: dict[str, Any],
    encoding: Encoding,
    warm_starts: Sequence[Plan],
    ledger: Ledger,
    cluster: Cluster,
    display: Display,
) -> int:
    """Try plans until `config.trials` are finished; return how many suggestions were repeats.

    Raises StudyError if every trial failed.
    """
    scheduler = BudgetScheduler(ledger, config.max_latency_ratio)
    searcher = PlanSearcher(
        encoding,
        ledger,
        run.path / "optuna.journal",
        config.seed,
        warm_starts,
        scheduler.reasons,
    )
    room = max(1, cluster.cpus // config.threads)
    if config.gpus_per_trial:
        room = min(room, max(1, int(cluster.gpus / config.gpus_per_trial)))
    left = config.trials - len(ledger.records)
    if left > 0:
        trainable = tune.with_parameters(
            CompressionTrainable,
            settings=settings,
            baseline=baseline,
            lease=device_lease(),
        )
        resources = {"cpu": config.threads, "gpu": config.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=left,
                max_concurrent_trials=min(config.concurrency or room, room),
                reuse_actors=True,
                trial_name_creator=lambda trial: f"plan-{trial.config['number']:06d}",
                trial_dirname_creator=lambda trial: f"plan-{trial.trial_id}",
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(run.path / "ray"),
                callbacks=[FailureCallback(searcher)],
                verbose=Verbosity.V0_MINIMAL,
                failure_config=tune.FailureConfig(max_failures=0),
                # Doing a trial again costs less than checkpointing all of them.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        with display.trials(ledger, config.trials):
            tuner.fit()
    failed = ledger.failed()
    if failed and len(failed) == len(ledger.records):
        raise StudyError(
            f"all {len(failed)} trials failed; trial {failed[-1].number}: "
            f"{failed[-1].result.reason}"
        )
    return searcher.repeats
