"""One trial, stage by stage, without Ray."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import paddle

from spaces.plan import Plan, QuantizationChoice
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import (
    export_candidate,
    layer_precisions,
    prepare_quantization,
)
from trainables.context import TrialContext
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import load_engine
from trainables.deployment.exported import model_files, size_bytes
from trainables.probe import FULL, QUICK, Effort
from trainables.results import Measurement, Probe, TrialResult
from trainables.settings import candidate_name
from trainables.shapes import shape_engine
from trainables.weights import load_weights, model_weights, write_weights

if TYPE_CHECKING:
    from trainables.compression.slim import QuantizationAware

WEIGHTS = "weights.safetensors"

# Learning rate of quantization-aware training, as a share of the recipe's: gradients through fake
# quantization are noisier. A guess.
QAT_SHARE = 0.33


# Distance between the seeds of two levels, so that each sees the data in another order.
LEVEL_STRIDE = 7_919


def training_seed(seed: int, plan: Plan, level: int = 0) -> int:
    """Return the seed of a plan's training at a level, the same in every trial of the plan."""
    return ((int(plan.key[:8], 16) ^ seed) + LEVEL_STRIDE * level) % 2**31


def run_trial(
    number: int, plan: Plan, context: TrialContext, level: int = 0
) -> Iterator[TrialResult]:
    """Yield the result after each stage of a level: the shape's latency at level 0, then the end.

    At the end the state is COMPLETE after the last level, PAUSED after others. A level above 0
    starts from the weights of the one before. The caller may stop the trial at any stage. Export
    and weights stay in the run folder. Raises TrialError, or what paddle raises.
    """
    trial = _Trial(number, plan, context, level)
    trial.prune()
    # Latency depends on shape and precision alone, so a plan that is too slow needs no training.
    if level == 0 and context.settings.shape_first:
        trial.time_shape()
        yield trial.result
    trial.finetune()
    trial.quantize()
    trial.finish(trial.export())
    yield trial.result


class Stopwatch:
    """Wall seconds by stage, summed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


class _Trial:
    """A level of a trial that runs: its model, and the result so far."""

    def __init__(self, number: int, plan: Plan, context: TrialContext, level: int) -> None:
        self._number, self._plan, self._context = number, plan, context
        self._settings = context.settings
        self._level = context.levels[level]
        self._seed = training_seed(self._settings.seed, plan, level)
        self._folder = self._settings.candidate_folder(number, level)
        self._watch = Stopwatch()
        self._quantization: QuantizationAware | None = None
        self._train_loss: float | None = None
        # A model that is neither pruned nor trained has nothing to gain from further levels.
        trained = plan.is_pruned or plan.quantization.is_trained
        self._fidelity = self._level.fidelity if trained else 1.0
        self.result = TrialResult("RUNNING", seconds=self._watch.seconds)

    def prune(self) -> None:
        """Build the pruned model, with the weights of the level before if there is one."""
        paddle.seed(self._seed)
        with self._watch("prune"), self._context.lease.shared():
            self._model = pruned_model(self._context.task, self._plan, self._settings.criterion)
            before = self._level.index - 1
            if before >= 0:
                name = candidate_name(self._number, before)
                self._context.files.fetch(self._settings.folder, name)
                load_weights(self._model, self._settings.folder / name / WEIGHTS)

    def time_shape(self) -> None:
        """Time the untrained model."""
        with self._watch("latency"), tempfile.TemporaryDirectory() as folder:
            self._note_latency(
                "shape",
                QUICK,
                lambda: shape_engine(self._model, self._plan, self._context, Path(folder)),
            )

    def finetune(self) -> None:
        """Train the level in float. An unpruned model needs no training."""
        if not self._plan.is_pruned:
            return
        with self._watch("finetune"):
            trainer = self._context.trainer(
                self._model,
                plan=self._plan,
                samples=self._level.samples,
                seed=self._seed,
                level=self._level.index,
            )
            self._train_loss = trainer.run(trainer.steps)

    def quantize(self) -> None:
        """Write the float weights, then train under quantization if the plan asks for it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_weights(self._folder / WEIGHTS, model_weights(self._model))
        with self._watch("quantize"), self._context.lease.shared():
            self._quantization = prepare_quantization(self._model, self._plan.quantization)
        if self._quantization is None:
            return
        with self._watch("finetune"):
            trainer = self._context.trainer(
                self._model,
                plan=self._plan,
                samples=self._level.quantized_samples,
                learning_rate_share=QAT_SHARE,
                quantized=True,
                seed=self._seed + 1,
                level=self._level.index,
            )
            self._train_loss = trainer.run(trainer.steps)

    def export(self) -> Engine:
        """Export the model as it would be delivered; return its engine."""
        context = self._context
        with self._watch("export"), context.lease.shared():
            engine, self.result.export_difference = export_candidate(
                self._model,
                self._plan.quantization,
                self._quantization,
                context.task,
                self._settings,
                self._folder,
                float_layers=self._plan.float_layers,
            )
            if self._plan.quantization is QuantizationChoice.INT8_PTQ:
                self.result.layers = layer_precisions(self._model, engine)
        return engine

    def finish(self, engine: Engine) -> None:
        """Evaluate and time the exported model, and upload its files."""
        context, result = self._context, self.result
        with self._watch("evaluate"):
            final = context.measure(engine.run, self._level.index, self._fidelity, self._train_loss)
        result.measurements.append(final)
        result.metric = final.metric
        result.metric_loss = final.metric_loss
        result.standard_error = final.standard_error
        result.level, result.fidelity = final.rung, final.fidelity
        complete = final.fidelity == 1
        # Further training changes no latency: a promoted trial is timed again at its very end.
        if complete or (self._level.index == 0 and not result.readings):
            with self._watch("latency"):
                self._note_latency("export", FULL, lambda: engine)
        result.size_bytes = size_bytes(self._folder, engine.configuration.files)
        with self._watch("export"):
            name = candidate_name(self._number, self._level.index)
            context.files.upload(self._settings.folder, name)
        result.state = "COMPLETE" if complete else "PAUSED"

    def _note_latency(self, stage: str, effort: Effort, engine: Callable[[], Engine]) -> None:
        reading, reused = self._context.probe(stage, self._plan, effort, engine)
        self.result.readings.append(Probe(stage, reused, reading))
        self.result.latency_ms = reading.latency_ms
        self.result.baseline_latency_ms = reading.baseline_latency_ms
        self.result.latency_ratio = reading.ratio


def reexport(
    plan: Plan, number: int, level: int, target: Path, context: TrialContext
) -> Measurement:
    """Export a trial's model of a level again from its plan and weights; return its measurement.

    After quantization-aware training the export is copied: only it has the scales.
    """
    settings = context.settings
    context.files.fetch(settings.folder, candidate_name(number, level))
    source = settings.candidate_folder(number, level)
    if plan.quantization.is_trained:
        target.mkdir(parents=True, exist_ok=True)
        for name in model_files(source):
            shutil.copy2(source / name, target / name)
        engine = load_engine(target, plan.quantization.precision, settings)
    else:
        model = pruned_model(context.task, plan, settings.criterion)
        load_weights(model, source / WEIGHTS)
        engine, _ = export_candidate(
            *(model, plan.quantization, None, context.task, settings, target),
            float_layers=plan.float_layers,
        )
    return context.measure(engine.run, level, context.levels[level].fidelity)
