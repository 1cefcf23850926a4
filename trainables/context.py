"""A worker's state between trials: the task and the baseline, and measuring against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import paddle

from spaces.errors import TaskError, TrialError
from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from trainables.baseline import load_baseline, load_statistics
from trainables.deployment import gpu
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import chosen_runtime, load_engine
from trainables.distillation import Distillation, Teacher, load_teacher
from trainables.evaluation import Predict, evaluate, timed_batches
from trainables.files.cache import JsonCache, fingerprint_of, processor
from trainables.files.node import Node
from trainables.levels import training_cost, training_levels
from trainables.loading import study_task
from trainables.metrics import loss_standard_error, metric_value, relative_loss
from trainables.probe import Effort, read_latency, time_in_turn
from trainables.results import Baseline, LatencyReading, Measurement
from trainables.sanity import first_digest
from trainables.settings import BASELINE, TrialSettings, reference_name
from trainables.training import Trainer


class TrialContext:
    """The state of a worker, shared by all its trials."""

    def __init__(self, settings: TrialSettings, baseline: Baseline, node: Node) -> None:
        gpu.choose_device()
        self.settings = settings
        self.baseline = baseline
        self.lease = node.lease
        self.files = node.files
        self.files.fetch(settings.folder, BASELINE)
        self.task = study_task(settings, node.files)
        if baseline.first_batch not in (None, first_digest(self.task, "val", settings.eval_batch)):
            raise TaskError(
                f"task {self.task.name!r}: eval_batches('val', ...) yields other inputs in another "
                "process; sort entries of sets and folders, and seed random draws"
            )
        self.baseline_engine = load_baseline(settings)
        self.baseline_statistics = load_statistics(settings.baseline_folder)
        self.latency_batches = timed_batches(self.task, settings.latency_batch)
        self.levels = training_levels(settings, baseline)
        self._costs = LayerCosts(baseline.layers, baseline.items) if baseline.layers else None
        self._readings = JsonCache(settings.cache / "latency")
        self._processor = processor()
        self._references: dict[QuantizationChoice, list[tuple[Engine, Sequence[float]]]] = {}

    def measure(
        self,
        run: Predict,
        level: int,
        fidelity: float,
        train_loss: float | None = None,
    ) -> Measurement:
        """Evaluate an exported model on validation, relative to the baseline.

        Raises TrialError if the outputs or the metric are not finite.
        """
        statistics = evaluate(run, self.task, "val", self.settings.eval_batch, self.lease.shared)
        metric = metric_value(self.task.metric, statistics)
        if not np.isfinite(metric):
            raise TrialError(f"{self.task.metric.name} on val is {metric}")
        return Measurement(
            stage="quantize",
            rung=level,
            fidelity=fidelity,
            metric=metric,
            metric_loss=relative_loss(self.task.metric, self.baseline.metric, metric),
            standard_error=loss_standard_error(
                self.task.metric, self.baseline_statistics, statistics
            ),
            train_loss=train_loss,
        )

    def trainer(
        self,
        model: paddle.nn.Layer,
        *,
        plan: Plan,
        samples: float,
        learning_rate_share: float = 1.0,
        seed: int,
        workers: int = 1,
        level: int = 0,
        quantized: bool = False,
    ) -> Trainer:
        """Return a trainer of a plan's model, in total over data-parallel workers.

        `samples` are those that the unpruned model could see for the cost (`training_cost`). The
        peak of the learning rate is the same for all plans and levels (LOG: what recovers a pruned
        model). From level 1 on a pruned model learns from the unpruned one too, as the settings
        say. A `quantized` model, with fake quantization, computes in float: float16 would round its
        scales.
        """
        batch_size = self.settings.batch_size or self.task.recipe.batch_size
        peak = self.settings.learning_rate or self.task.recipe.learning_rate
        taught = learning_rate_share > 0 and self._is_taught(plan, level)
        return Trainer(
            model,
            self.task,
            steps=max(1, round(samples / self.cost(plan, taught=taught) / batch_size)),
            learning_rate=learning_rate_share * peak,
            batch_size=max(1, batch_size // workers),
            seed=seed,
            guard=self.lease.shared,
            distillation=(
                Distillation(self.teacher, self.task, self.settings.distillation)
                if taught
                else None
            ),
            mixed_precision=self.settings.mixed_precision and not quantized,
        )

    @cached_property
    def teacher(self) -> Teacher:
        """The unpruned model on its engine, shared by all trainings of this process."""
        return load_teacher(self.settings, self.baseline_engine, self.latency_batches[0])

    def _is_taught(self, plan: Plan, level: int) -> bool:
        """Return whether a plan's model learns from the teacher in a level.

        In the short first level it does not gain by that (LOG: what recovers a pruned model).
        """
        late = level > 0 or len(self.levels) == 1
        return plan.is_pruned and late and self.settings.distillation > 0

    def cost(self, plan: Plan, *, taught: bool = False) -> float:
        """Return the cost of a plan's training sample, as a share of the unpruned model's."""
        return training_cost(self._left(plan), taught=taught)

    def _left(self, plan: Plan) -> float:
        """Return the share of the multiply-adds that pruning leaves; 1 if no layers are known."""
        if self._costs is None:
            return 1.0
        ratios = ratio_matrix(self.baseline.items, [plan])
        return float(self._costs.multiply_adds(ratios)[0])

    def references(self, choice: QuantizationChoice) -> list[tuple[Engine, Sequence[float]]]:
        """Return the reference engines of models timed as `choice`, each with its latency ratios,
        one for each size.

        In float the baseline is one of them; a choice without references has the baseline alone.
        """
        if choice not in self._references:
            found: list[tuple[Engine, Sequence[float]]] = []
            for reference in self.baseline.references:
                if reference.plan.quantization.timed_as is choice:
                    found.append((self.reference_engine(reference.plan), reference.ratios))
            if choice is QuantizationChoice.FLOAT or not found:
                found.append((self.baseline_engine, [1.0] * len(self.latency_batches)))
            self._references[choice] = found
        return self._references[choice]

    def reference_engine(self, plan: Plan) -> Engine:
        """Return the engine of a plan that was exported as a reference, on this or another node."""
        self.files.fetch(self.settings.folder, reference_name(plan))
        folder = self.settings.reference_folder(plan)
        return load_engine(folder, plan.quantization.precision, self.settings)

    def time(self, engine: Engine, choice: QuantizationChoice, effort: Effort) -> LatencyReading:
        """Return a model's latency, timed in turn with the references of its choice."""
        references = self.references(choice)
        runs_ms = time_in_turn(
            [engine, *(other for other, _ in references)],
            self.latency_batches,
            self.lease,
            effort.times(self.settings.latency_effort),
        )
        return read_latency(
            runs_ms,
            [ratios for _, ratios in references],
            baseline_ms=self.baseline.latency_ms,
            batch_size=self.settings.latency_batch,
            threads=self.settings.threads,
        )

    def probe(
        self, stage: str, plan: Plan, effort: Effort, engine: Callable[[], Engine]
    ) -> tuple[LatencyReading, bool]:
        """Return the plan's latency, and whether it came from the cache.

        It depends on shape and precision alone, so a later study of the same model on the same
        processor reuses it, and a seeded search is repeatable. `engine` is called only for a plan
        that is not in the cache.
        """
        choice = plan.quantization.timed_as
        key = fingerprint_of(
            "latency-7",
            stage,
            self.baseline.fingerprint,
            plan.to_json(),
            # A reading beside other references, or earlier ratios of them, is on another scale.
            [ratios for _, ratios in self.references(choice)],
            self.settings.latency_batch,
            self.settings.latency_effort,
            self.settings.threads,
            chosen_runtime(self.settings).describe(plan.quantization.precision),
            self._processor,
        )
        known = self._readings.get(key, LatencyReading)
        if known is not None:
            return known, True
        reading = self.time(engine(), choice, effort)
        self._readings.put(key, LatencyReading, reading)
        return reading, False
