"""The retrain of the front in full, the fastest first, until one is within the budget."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from search.config import RunConfig
from search.console import percent, ratio_text
from search.context import StudyContext
from search.needs import count_retrain_workers, retrain_worker_resources
from search.records.ledger import Ledger
from search.records.run_folder import RAY, run_once
from search.records.stage_files import FailedRetrain, Retrained, Winner, read_json
from search.records.trial_record import TrialRecord
from spaces.errors import StudyError
from trainables.results import Baseline, RetrainFigures
from trainables.settings import OUTCOME, retrained_name


def train_on_workers(
    study: StudyContext, baseline: Baseline, record: TrialRecord, workers: int
) -> Retrained | FailedRetrain:
    """Return the figures of one candidate, trained by a Ray Train job on `workers` workers.

    The job resumes from its last checkpoint when a worker or node is lost. If that happens more
    often than `config.retries`, the reason is returned in place of figures.
    """
    from ray.train import CheckpointConfig, FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainRunConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from clusters.paddle_backend import PaddleConfig
    from trainables.jobs import RETRAIN_JOB, RetrainJob, retrain_loop

    config, run = study.config, study.run
    storage = run.folder.storage
    trainer = DataParallelTrainer(
        retrain_loop,
        train_loop_config={
            RETRAIN_JOB: RetrainJob(
                study.settings, baseline, study.node, record.plan, record.number
            )
        },
        backend_config=PaddleConfig(),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=config.gpus_per_trial > 0,
            placement_strategy="SPREAD",
        ),
        run_config=TrainRunConfig(
            name=f"retrain-{record.number:06d}",
            storage_path=f"{storage.path if storage is not None else run.path}/{RAY}",
            storage_filesystem=storage.filesystem if storage is not None else None,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=max(1, config.retries)),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return FailedRetrain(record.number, lines[-1][:300])
    name = retrained_name(record.number)
    study.node.files.fetch(study.settings.folder, name)
    figures: RetrainFigures = read_json(study.settings.folder / name / OUTCOME, RetrainFigures)
    return Retrained(trial=record.number, **vars(figures))


def is_within_budget(outcome: Retrained, config: RunConfig) -> bool:
    """Return whether the loss on validation, plus its margin, is within the budget."""
    margin = config.confidence_z * outcome.standard_error
    return outcome.metric_loss + margin <= config.budget


def retrain_winner(study: StudyContext, baseline: Baseline, ledger: Ledger) -> Winner:
    """Return the fastest candidate of the front that is within the budget after its retrain.

    Raises StudyError if no trial is feasible, or no candidate is within the budget.
    """
    config = study.config

    def compute() -> Winner:
        candidates = ledger.front()
        if not candidates:
            raise StudyError(
                f"none of {len(ledger.records)} trials kept a loss of {config.budget:g}; "
                "give more --trials, more -o finetune_samples, or a larger --budget"
            )
        return first_within_budget(study, baseline, candidates)

    with study.stage("retrain", "the fastest feasible plans in full, until one keeps it"):
        winner: Winner = run_once(study.run, "retrain", compute)
    return winner


def first_within_budget(
    study: StudyContext, baseline: Baseline, candidates: Sequence[TrialRecord]
) -> Winner:
    """Return the first candidate within the budget after its retrain, and those tried before it.

    A retrain that has finished is not repeated. Raises StudyError if none of the first
    `retrain_candidates` is within the budget.
    """
    config, run, display = study.config, study.run, study.display
    tried: list[Retrained] = []
    failures: dict[str, str] = {}
    for record in candidates[: config.retrain_candidates]:
        stage = f"retrain-{record.number:06d}"
        outcome: Retrained | FailedRetrain | None = run.stage(stage)
        if outcome is None:
            workers = count_retrain_workers(config, study.cluster.now())
            asked = retrain_worker_resources(config)
            with display.waiting(f"retrain of trial {record.number}", asked, workers):
                outcome = train_on_workers(study, baseline, record, workers)
            run.finish_stage(stage, outcome)
        if isinstance(outcome, FailedRetrain):
            failures[stage] = outcome.failed
            display.say(f"{'':<12} trial {record.number}: failed ({outcome.failed})")
            continue
        accepted = is_within_budget(outcome, config)
        margin = config.confidence_z * outcome.standard_error
        display.say(
            f"{'':<12} trial {record.number}: latency {ratio_text(record.result.latency_ratio)}, "
            f"loss {percent(outcome.metric_loss)} and a margin of {percent(margin)} on val: "
            f"{'kept' if accepted else 'missed, on to the next'}"
        )
        tried.append(replace(outcome, accepted=accepted))
        if accepted:
            return Winner(**vars(tried[-1]), plan=record.plan, tried=tuple(tried))
    if not tried:
        # Failures say nothing about the plans: a resumed run tries them again.
        for stage in failures:
            run.forget_stage(stage)
        last = list(failures.values())[-1]
        raise StudyError(
            f"all {len(failures)} retrains failed; the last one: {last}; once that is "
            f"repaired carry on with --resume {shlex.quote(run.address)}"
        )
    raise StudyError(
        f"none of the first {min(len(candidates), config.retrain_candidates)} candidates kept a "
        f"loss of {config.budget:g} on validation with its margin after the retrain; give more "
        "-o retrain_samples, more -o retrain_candidates, or a larger --budget"
    )
