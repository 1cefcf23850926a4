"""One trial, stage by stage: plain Python, no Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import paddle

from spaces.plan import Plan
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.context import Stopwatch, TrialContext
from trainables.engine import Engine, size_bytes
from trainables.evaluation import eager
from trainables.latency import FULL, QUICK, Effort
from trainables.results import Probe, TrialResult
from trainables.settings import candidate_name
from trainables.shapes import shape_engine
from trainables.weights import model_weights, write_weights

WEIGHTS = "weights.safetensors"

# Of the recipe's learning rate: the gradients through fake quantization are noisier.
QAT_SHARE = 0.33


def training_seed(seed: int, plan: Plan) -> int:
    """Return a seed for a plan's training, the same whichever trial runs it."""
    return (int(plan.key[:8], 16) ^ seed) % 2**31


def _note_latency(
    result: TrialResult,
    stage: str,
    context: TrialContext,
    plan: Plan,
    effort: Effort,
    engine: Callable[[], Engine],
) -> None:
    reading, reused = context.probe(stage, plan, effort, engine)
    result.readings.append(Probe(stage, reused, reading))
    result.latency_ms = reading.latency_ms
    result.baseline_latency_ms = reading.baseline_latency_ms
    result.latency_ratio = reading.ratio


def run_trial(number: int, plan: Plan, context: TrialContext) -> Iterator[TrialResult]:
    """Yield what is known after each stage; the last one is COMPLETE, at full fidelity.

    First the latency of the plan's shape, then a measurement a rung, then the whole
    result. Whoever iterates may stop at any point. The export and the weights stay
    in the run folder. Raises TrialError, or whatever paddle raises.
    """
    settings, task = context.settings, context.task
    seed = training_seed(settings.seed, plan)
    paddle.seed(seed)
    watch = Stopwatch()
    result = TrialResult("RUNNING", seconds=watch.seconds)

    with watch("prune"), context.lease.shared():
        model = pruned_model(task, plan, settings.criterion)
    # Shape and precision fix the latency, so a plan that is too slow costs no training.
    if settings.shape_first:
        with watch("latency"), tempfile.TemporaryDirectory() as shape:
            _note_latency(
                result,
                "shape",
                context,
                plan,
                QUICK,
                lambda: shape_engine(model, plan, context, Path(shape)),
            )
        yield result

    trained_share = _trained_share(plan, context)
    if plan.is_pruned:
        trainer = context.trainer(
            model,
            samples=settings.finetune_samples,
            steps=settings.finetune_steps,
            seed=seed,
        )
        for rung, share in enumerate(settings.rungs):
            with watch("finetune"):
                loss = trainer.run(round(share * trainer.steps) - trainer.step)
            with watch("evaluate"):
                result.measurements.append(
                    context.measure(eager(model), "finetune", rung, share * trained_share, loss)
                )
            yield result
        with watch("finetune"):
            trainer.run(trainer.steps - trainer.step)

    folder = settings.candidate_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, model_weights(model))
    with watch("quantize"), context.lease.shared():
        quantization = prepare_quantization(model, plan.quantization)
    loss_under_quantization = None
    if quantization is not None:
        with watch("finetune"):
            trainer = context.trainer(
                model,
                samples=settings.qat_samples,
                learning_rate_share=QAT_SHARE,
                seed=seed + 1,
            )
            loss_under_quantization = trainer.run(trainer.steps)
    with watch("export"), context.lease.shared():
        engine, result.export_difference = export_candidate(
            model, plan.quantization, quantization, task, settings, folder
        )
    with watch("evaluate"):
        rung = len(settings.rungs)
        final = context.measure(engine.run, "quantize", rung, 1.0, loss_under_quantization)
    result.measurements.append(final)
    result.metric = final.metric
    result.metric_loss = final.metric_loss
    result.standard_error = final.standard_error
    with watch("latency"):
        _note_latency(result, "export", context, plan, FULL, lambda: engine)
    result.size_bytes = size_bytes(folder)
    with watch("export"):
        context.files.keep(settings.folder, candidate_name(number))
    result.state = "COMPLETE"
    yield result


def _trained_share(plan: Plan, context: TrialContext) -> float:
    """Return the share of the trial's training that is done in float."""
    settings = context.settings
    if not plan.quantization.is_trained:
        return 1.0
    return settings.finetune_samples / (settings.finetune_samples + settings.qat_samples)
