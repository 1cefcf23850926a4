"""The winner's training in full: data-parallel, then quantized and exported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from spaces.plan import Plan
from trainables.latency import NoLease
from trainables.settings import TrialSettings

OUTCOME = "outcome.json"


def retrain_loop(config: dict[str, Any]) -> None:
    """Retrain one candidate; run by every worker of a Ray Train job.

    `config` has `settings`, `baseline`, `plan`, `number` (whose fine-tuned weights it
    starts from) and `folder`, where the first worker leaves the export and OUTCOME.
    """
    import paddle
    import paddle.distributed

    from trainables.baseline import Baseline
    from trainables.compression.pruning import pruned_model
    from trainables.compression.quantization import export_candidate, prepare_quantization
    from trainables.context import TrialContext
    from trainables.engine import size_bytes
    from trainables.trial import (
        QAT_SHARE,
        WEIGHTS,
        training_seed,
    )
    from trainables.weights import load_weights, model_weights, write_weights

    settings = TrialSettings(**config["settings"])
    plan = Plan.from_json(config["plan"])
    folder = Path(config["folder"])
    workers = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
    if workers > 1:
        paddle.distributed.init_parallel_env()

    context = TrialContext(settings, Baseline.from_json(config["baseline"]), NoLease())
    # Far from every seed of a trial, and another order of the data for every worker.
    seed = training_seed(settings.seed, plan) + 1_000_000_007 * (rank + 1)
    paddle.seed(seed % 2**31)
    model = pruned_model(context.task, plan, settings.criterion)
    load_weights(model, settings.candidate_folder(config["number"]) / WEIGHTS)

    def train(samples: int, share: float) -> float:
        wrapped = paddle.DataParallel(model) if workers > 1 else model
        trainer = context.trainer(
            wrapped,
            samples=samples,
            learning_rate_share=share,
            seed=seed % 2**31,
            workers=workers,
        )
        return trainer.run(trainer.steps)

    loss = train(settings.retrain_samples, 1.0) if plan.is_pruned else None
    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder / WEIGHTS, model_weights(model))
    quantization = prepare_quantization(model, plan.quantization)
    if quantization is not None:
        loss = train(settings.retrain_qat_samples, QAT_SHARE)
    if rank == 0:
        engine, difference = export_candidate(
            model, plan.quantization, quantization, context.task, settings, folder
        )
        measured = context.measure(engine.run, "retrain", 0, 1.0, loss)
        outcome = {
            "metric": measured.metric,
            "metric_loss": measured.metric_loss,
            "standard_error": measured.standard_error,
            "train_loss": loss,
            "export_difference": difference,
            "size_bytes": size_bytes(folder),
            "workers": workers,
        }
        temporary = folder / f".{OUTCOME}.tmp"
        temporary.write_text(json.dumps(outcome))
        temporary.replace(folder / OUTCOME)
    if workers > 1:
        paddle.distributed.barrier()
