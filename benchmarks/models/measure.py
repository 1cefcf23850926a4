"""One model of a toolkit: its groups, and what pruning 30 % and INT8 change.

    python -m benchmarks.models.measure NAME [--work FOLDER]

prints one JSON object. The baseline is trained once and stored in the work folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.models.zoo import CASES, ModelCase
from clusters.lease import device_lease
from search.config import RunConfig
from search.records.search_space import build_space
from spaces.heuristics import uniform
from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from trainables.baseline import measure_baseline
from trainables.compression.pruner import ChannelPruner
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate
from trainables.context import TrialContext
from trainables.deployment.exported import size_bytes
from trainables.files.node import Node
from trainables.loading import load_task
from trainables.probe import FULL
from trainables.results import TrialResult
from trainables.settings import TrialSettings
from trainables.training import Trainer
from trainables.trial import WEIGHTS, run_trial
from trainables.weights import load_weights, model_weights, write_weights

if TYPE_CHECKING:
    import paddle

WORK = Path("bench/work/models")
# The ratio of all groups, as on the toolkits' pruning pages.
RATIO = 0.3
EVAL_BATCH = 32
# Samples of a plan's fine-tuning, as a share of the baseline's training. A guess.
FINETUNE_SHARE = 0.2


def ensure_weights(case: ModelCase, work: Path) -> None:
    """Train the baseline and write its weights, unless the file exists."""
    options = case.task_options(work)
    file = Path(options["weights"])
    if file.is_file():
        return
    import paddle

    from benchmarks.models.whole import WholeDetector, WholeTask
    from trainables.tasks.paddledetection.rcnn import TrunkTask

    paddle.seed(0)
    task: Any = load_task(case.task, options)
    trained = model = task.build_untrained()
    if isinstance(task, TrunkTask):
        task = WholeTask(task)
        trained, model = task.detector, WholeDetector(task.detector)
    training = case.training
    steps = training.samples // training.batch
    Trainer(
        model,
        task,
        steps=steps,
        learning_rate=training.learning_rate,
        batch_size=training.batch,
        seed=0,
        guard=device_lease().shared,
    ).run(steps)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_weights(file, model_weights(trained))


def trial_settings(case: ModelCase, work: Path) -> TrialSettings:
    return TrialSettings(
        task=case.task,
        task_options=case.task_options(work),
        run_folder=str(work / "runs" / case.name),
        cache_folder=str(work / "cache"),
        # One level: the model is trained in full.
        retrain_samples=1,
        finetune_samples=int(FINETUNE_SHARE * case.training.samples),
        calibration=case.calibration,
        calibration_samples=64,
        eval_batch=EVAL_BATCH,
        latency_batch=case.latency_batch,
        shape_first=False,
    )


def parameters(model: paddle.nn.Layer) -> int:
    return sum(int(p.numel()) for p in model.parameters())


def quantized(plan: Plan, context: TrialContext) -> TrialResult:
    """Return the result of post-training quantization of trial 0's model."""
    settings = context.settings
    choice = plan.quantization
    model = pruned_model(context.task, plan, settings.criterion)
    load_weights(model, settings.candidate_folder(0) / WEIGHTS)
    folder = settings.candidate_folder(1)
    engine, difference = export_candidate(model, choice, None, context.task, settings, folder)
    found = context.measure(engine.run, 0, 1.0)
    reading = context.time(engine, choice.timed_as, FULL)
    return TrialResult(
        "COMPLETE",
        metric=found.metric,
        metric_loss=found.metric_loss,
        latency_ms=reading.latency_ms,
        latency_ratio=reading.ratio,
        size_bytes=size_bytes(folder),
        export_difference=difference,
    )


def measure(case: ModelCase, work: Path) -> dict[str, Any]:
    """Return the model's row of bench/models.json."""
    ensure_weights(case, work)
    settings = trial_settings(case, work)
    task = load_task(settings.task, settings.task_options)
    model = task.build_model()
    start = time.perf_counter()
    ChannelPruner(model, task.inputs)
    groups_s = time.perf_counter() - start
    baseline = measure_baseline(task, settings)
    space = build_space(RunConfig(budget=0.1), baseline)
    plan = uniform(space, RATIO, QuantizationChoice.FLOAT)
    context = TrialContext(settings, baseline, Node(device_lease()))
    *_, pruned = run_trial(0, plan, context)
    int8 = quantized(uniform(space, RATIO, QuantizationChoice.INT8_PTQ), context)
    costs = LayerCosts(baseline.layers, space.groups)
    remaining = costs.multiply_adds(ratio_matrix(space.groups, [plan]))[0]
    return {
        "model": case.name,
        "family": case.family,
        "toolkit": case.toolkit,
        "input": list(task.inputs[0].shape),
        "batch": settings.latency_batch,
        "groups": len(baseline.groups),
        "groups_s": round(groups_s, 2),
        "left_out": [[item.name, item.reason] for item in baseline.excluded],
        "left_out_reasons": dict(Counter(item.reason for item in baseline.excluded)),
        "parameters": [parameters(model), parameters(pruned_model(task, plan))],
        "multiply_adds_kept": float(remaining),
        "size_bytes": [baseline.size_bytes, pruned.size_bytes, int8.size_bytes],
        "latency_ms": [baseline.latency_ms, pruned.latency_ms, int8.latency_ms],
        "latency_ratio": [1.0, pruned.latency_ratio, int8.latency_ratio],
        "metric_name": baseline.metric_name,
        "metric": [baseline.metric, pruned.metric, int8.metric],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(CASES))
    parser.add_argument("--work", type=Path, default=WORK)
    chosen = parser.parse_args()
    row = measure(CASES[chosen.name], chosen.work.absolute())
    print(json.dumps(row))


if __name__ == "__main__":
    main()
