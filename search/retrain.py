"""The candidates of the front retrained in full, the fastest first, until one keeps the budget."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from clusters.connect import Cluster
from search.config import RunConfig
from search.ledger import Ledger, TrialRecord
from search.progress import Display, percent, ratio_text
from search.run_folder import RunFolder
from spaces.errors import StudyError
from trainables.settings import TrialSettings


def train_on_workers(
    config: RunConfig,
    run: RunFolder,
    settings: TrialSettings,
    baseline: dict[str, Any],
    record: TrialRecord,
    cluster: Cluster,
) -> dict[str, Any]:
    """Return what `trainables.retrain` measured of one candidate, trained by a Ray Train job.

    A training that fails, twice, leaves `failed`, the reason, in place of figures.
    """
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainRunConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from clusters.paddle_backend import PaddleConfig
    from trainables.retrain import OUTCOME, retrain_loop

    folder = run.path / "retrained" / f"{record.number:06d}"
    use_gpu = config.gpus_per_trial > 0
    workers = config.retrain_workers or (cluster.gpus if use_gpu else min(2, cluster.cpus))
    trainer = DataParallelTrainer(
        retrain_loop,
        train_loop_config={
            "settings": asdict(settings),
            "baseline": baseline,
            "plan": record.plan.to_json(),
            "number": record.number,
            "folder": str(folder),
        },
        backend_config=PaddleConfig("nccl" if use_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=max(1, workers), use_gpu=use_gpu),
        run_config=TrainRunConfig(
            name=f"retrain-{record.number:06d}",
            storage_path=str(run.path / "ray"),
            failure_config=FailureConfig(max_failures=1),
        ),
    )
    found = {"trial": record.number, "folder": str(folder)}
    try:
        trainer.fit()
    except TrainingFailedError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {**found, "failed": lines[-1][:300]}
    return {**found, **json.loads((folder / OUTCOME).read_text())}


def keeps_budget(outcome: dict[str, Any], config: RunConfig) -> bool:
    """Return whether the loss on validation, with its sampling error, is within the budget."""
    margin = config.confidence_z * outcome["standard_error"]
    return bool(outcome["metric_loss"] + margin <= config.budget)


def retrain_winner(
    config: RunConfig,
    run: RunFolder,
    settings: TrialSettings,
    baseline: dict[str, Any],
    ledger: Ledger,
    cluster: Cluster,
    display: Display,
) -> dict[str, Any]:
    """Return the first candidate that keeps the budget after its retrain, and those before it.

    Keys: `trial`, `plan`, `folder`, the figures on validation, and `tried`. Raises
    StudyError if no trial was feasible, or none of the candidates kept the budget.
    """
    known: dict[str, Any] | None = run.stage("retrain")
    if known is not None:
        return known
    candidates = ledger.front()[: config.retrain_candidates]
    if not candidates:
        raise StudyError(
            f"none of {len(ledger.records)} trials kept a loss of {config.budget:g}; "
            "give more --trials, more -o finetune_samples, or a larger --budget"
        )
    tried: list[dict[str, Any]] = []
    for record in candidates:
        stage = f"retrain-{record.number:06d}"
        outcome = run.stage(stage)
        if outcome is None:
            outcome = train_on_workers(config, run, settings, baseline, record, cluster)
            run.finish_stage(stage, outcome)
        if "failed" in outcome:
            display.say(f"{'':<12} trial {record.number}: failed ({outcome['failed']})")
            continue
        accepted = keeps_budget(outcome, config)
        margin = config.confidence_z * outcome["standard_error"]
        display.say(
            f"{'':<12} trial {record.number}: latency {ratio_text(record.result.latency_ratio)}, "
            f"loss {percent(outcome['metric_loss'])} and a margin of {percent(margin)} on val: "
            f"{'kept' if accepted else 'missed, on to the next of the front'}"
        )
        tried.append({**outcome, "accepted": accepted})
        if accepted:
            winner = {**outcome, "plan": record.plan.to_json(), "tried": tried}
            run.finish_stage("retrain", winner)
            return winner
    raise StudyError(
        f"none of the {len(candidates)} fastest candidates kept a loss of {config.budget:g} on "
        "validation with its margin after the retrain; give more -o retrain_samples, "
        "more -o retrain_candidates, or a larger --budget"
    )
