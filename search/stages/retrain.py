"""The training that the fastest candidates still lack, until one is within the budget."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from search.console import costs_text, percent
from search.context import StudyContext
from search.needs import count_retrain_workers, retrain_worker_resources
from search.records.ledger import Ledger
from search.records.prospects import Prospects
from search.records.run_folder import RAY, run_once
from search.records.stage_files import FailedRetrain, Retrained, Winner, read_json
from search.records.trial_record import TrialRecord
from search.schedule.deadline import deadline_of
from spaces.errors import StudyError
from spaces.goal import BEST
from trainables.results import Baseline, RetrainFigures
from trainables.settings import OUTCOME, candidate_name, retrained_name


def train_on_workers(
    study: StudyContext, baseline: Baseline, record: TrialRecord, workers: int
) -> Retrained | FailedRetrain:
    """Return the figures of one candidate, trained by a Ray Train job on `workers` workers.

    The job resumes from its last checkpoint when a worker or node is lost. If that happens more
    often than `config.retries`, the reason is returned in place of figures.
    """
    from ray.train import CheckpointConfig, FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainRunConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    from clusters.paddle_backend import PaddleConfig
    from clusters.ray_quirks import lean_trainer
    from trainables.jobs import RETRAIN_JOB, RetrainJob, retrain_loop

    config, run = study.config, study.run
    storage = run.folder.storage
    trainer = lean_trainer()(
        retrain_loop,
        train_loop_config={
            RETRAIN_JOB: RetrainJob(
                study.settings,
                baseline,
                study.node,
                record.plan,
                record.number,
                record.level,
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


def trained_in_search(record: TrialRecord) -> Retrained:
    """Return the figures of a candidate that its trial has trained in full."""
    result = record.result
    assert result.metric is not None and result.metric_loss is not None
    return Retrained(
        trial=record.number,
        metric=result.metric,
        metric_loss=result.metric_loss,
        standard_error=result.standard_error or 0.0,
        train_loss=result.measurements[-1].train_loss if result.measurements else None,
        export_difference=result.export_difference,
        size_bytes=result.size_bytes,
        model=candidate_name(record.number, record.level),
    )


def retrain_winner(study: StudyContext, baseline: Baseline, ledger: Ledger) -> Winner:
    """Return the fastest candidate that is within the budget after its training in full.

    Raises StudyError if no trial will be, or no candidate is.
    """

    def compute() -> Winner:
        candidates = in_time(study, baseline, ledger, Prospects(ledger).candidates())
        if not candidates:
            raise StudyError(
                f"{Prospects(ledger).obstacle(baseline)} more --trials, more "
                "-o retrain_samples, or a larger --budget"
            )
        return first_within_budget(study, baseline, ledger, candidates)

    best = BEST[study.config.objective]
    with study.stage("retrain", f"the {best} plan that keeps the budget; what its training lacks"):
        winner: Winner = run_once(study.run, "retrain", compute)
    return winner


def in_time(
    study: StudyContext, baseline: Baseline, ledger: Ledger, candidates: Sequence[TrialRecord]
) -> list[TrialRecord]:
    """Return the candidates that a deadline leaves time for; without one, all.

    If none keeps the budget yet, all are returned, the most promising first: a model that is late
    is worth more than none.
    """
    deadline, prospects = deadline_of(study, baseline, ledger), Prospects(ledger)
    if deadline is None or not candidates:
        return list(candidates)
    if prospects.kept():
        return [r for r in candidates if r.result.state == "COMPLETE" or deadline.allows(r)]
    promises = zip(prospects.promises(candidates), candidates, strict=True)
    return [record for _, record in sorted(promises, key=lambda pair: -pair[0])]


def first_within_budget(
    study: StudyContext, baseline: Baseline, ledger: Ledger, candidates: Sequence[TrialRecord]
) -> Winner:
    """Return the first candidate within the budget after its training in full, and those tried
    before it.

    A trial of full fidelity is taken as it is; the training that others lack is done for at most
    `retrain_candidates`, and not repeated once it has finished. Raises StudyError if no candidate
    is within the budget.
    """
    config, run, display = study.config, study.run, study.display
    prospects = Prospects(ledger)
    tried: list[Retrained] = []
    failures: dict[str, str] = {}
    trained = 0
    for record in candidates:
        if record.result.state == "COMPLETE":
            outcome: Retrained | FailedRetrain = trained_in_search(record)
        elif trained < config.retrain_candidates:
            trained += 1
            outcome = _trained(study, baseline, record)
        else:
            continue
        if isinstance(outcome, FailedRetrain):
            failures[_stage(record)] = outcome.failed
            display.say(f"{'':<12} trial {record.number}: failed ({outcome.failed})")
            continue
        margin = prospects.margin(outcome.standard_error, more=trained)
        accepted = outcome.metric_loss + margin <= config.budget
        display.say(
            f"{'':<12} trial {record.number}: {costs_text(record, ledger)}, "
            f"loss {percent(outcome.metric_loss)} and a margin of {percent(margin)} on val: "
            f"{'kept' if accepted else 'missed, on to the next'}"
        )
        tried.append(replace(outcome, accepted=accepted, margin=margin))
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
        f"none of {len(tried)} candidates kept a loss of {config.budget:g} on validation with its "
        "margin after the retrain; give more -o retrain_samples, more -o retrain_candidates, or a "
        "larger --budget"
    )


def _stage(record: TrialRecord) -> str:
    return f"retrain-{record.number:06d}"


def _trained(
    study: StudyContext, baseline: Baseline, record: TrialRecord
) -> Retrained | FailedRetrain:
    """Return the figures of a candidate after the training that it lacks, or why that failed."""
    known: Retrained | FailedRetrain | None = study.run.stage(_stage(record))
    if known is not None:
        return known
    config = study.config
    workers = count_retrain_workers(config, study.cluster.now())
    asked = retrain_worker_resources(config)
    with study.display.waiting(f"retrain of trial {record.number}", asked, workers):
        outcome = train_on_workers(study, baseline, record, workers)
    study.run.finish_stage(_stage(record), outcome)
    return outcome
