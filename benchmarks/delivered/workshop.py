"""What one worker does for the compared methods: train, quantize, evaluate and time one model.

The methods have this training in common: the recipe's learning rate, one cosine schedule, no
teacher. It uses the search's pieces, but none of its decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from benchmarks.delivered.model import Candidate
from benchmarks.delivered.problems import Problem, problem_named
from clusters.lease import device_lease
from spaces.plan import CalibrationAlgorithm, Plan, Precision, QuantizationChoice
from trainables.files.cache import JsonCache
from trainables.files.node import Node
from trainables.results import Baseline
from trainables.settings import TrialSettings

BASELINE = "baseline"
WEIGHTS = "weights.safetensors"
# Learning rate under quantization, as a share of the recipe's: the search's own (trainables/trial).
QAT_SHARE = 0.33

Curves = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Place:
    """Where a flow works: its problem, its seed and its folders."""

    problem_name: str
    seed: int
    work: Path
    """Folder with the problems' weights and data."""
    folder: Path
    """The flow's own files."""

    @property
    def problem(self) -> Problem:
        return problem_named(self.problem_name)

    @property
    def settings(self) -> TrialSettings:
        return self.problem.settings(self.work, self.folder, self.seed)

    def model_folder(self, name: str) -> Path:
        return self.folder / "models" / name


def measure_baseline(place: Place) -> Baseline:
    """Return the baseline; its export stays in the flow's folder."""
    from trainables.jobs import baseline_job

    found = baseline_job(place.settings)
    JsonCache(place.settings.folder).put(BASELINE, Baseline, found)
    return found


def measure_sensitivities(place: Place, ratios: Sequence[float]) -> dict[str, list]:
    """Return each group's (ratio, loss) pairs, each group pruned alone.

    By the search's own sensitivity stage, which is 15 times faster than PaddleSlim's and ranks
    alike (docs/benchmarks.md).
    """
    from trainables.jobs import sensitivity_job

    baseline = _bench(place).baseline
    curves = {group.name: list(ratios) for group in baseline.groups}
    found = sensitivity_job(place.settings, baseline, Node(), curves)
    return {
        group: [(row.ratio, row.metric_loss) for row in rows if row.metric_loss is not None]
        for group, (rows, _) in found.items()
    }


def train(place: Place, plan: Plan, samples: int, name: str) -> Candidate:
    """Return the pruned model trained in float and exported; its weights stay beside the export."""
    return _bench(place).train(plan, samples, place.model_folder(name))


def quantize(
    place: Place,
    source: Candidate,
    choice: QuantizationChoice,
    samples: int,
    name: str,
    calibration: CalibrationAlgorithm = "abs_max",
) -> Candidate:
    """Return a trained model in INT8, by calibration or by training of `samples` samples."""
    return _bench(place).quantize(source, choice, samples, place.model_folder(name), calibration)


def examine(place: Place, folder: str, precision: Precision) -> Candidate:
    """Return the figures of a model that was exported elsewhere.

    Raises ValueError if an INT8 model runs in float.
    """
    return _bench(place).examine(Path(folder), precision)


def unpruned(place: Place) -> Candidate:
    """Return the unpruned model as a source to quantize."""
    bench = _bench(place)
    return bench.train(Plan(), 0, place.model_folder("unpruned"))


def timed(place: Place, candidate: Candidate) -> Candidate:
    """Return the candidate with its latency beside the float baseline's."""
    return _bench(place).timed(candidate)


@lru_cache(maxsize=1)
def _bench(place: Place) -> Bench:
    return Bench(place)


class Bench:
    """A problem's data and baseline, loaded once in a worker."""

    def __init__(self, place: Place) -> None:
        from trainables.context import TrialContext

        baseline = JsonCache(place.settings.folder).get(BASELINE, Baseline)
        if baseline is None:
            raise ValueError(f"{place.settings.folder} has no baseline; measure it first")
        self.place, self.baseline = place, baseline
        self.context = TrialContext(place.settings, baseline, Node(device_lease()))
        self.task = self.context.task

    def _fit(self, model: object, samples: int, share: float, seed: int) -> None:
        from trainables.training import Trainer

        recipe = self.task.recipe
        steps = max(1, round(samples / recipe.batch_size))
        trainer = Trainer(
            model,
            self.task,
            steps=steps,
            learning_rate=share * recipe.learning_rate,
            batch_size=recipe.batch_size,
            seed=seed,
            guard=self.context.lease.shared,
        )
        trainer.run(steps)

    def train(self, plan: Plan, samples: int, folder: Path) -> Candidate:
        import paddle

        from trainables.compression.pruning import pruned_model
        from trainables.compression.quantization import export_candidate
        from trainables.weights import model_weights, write_weights

        paddle.seed(self.place.seed)
        model = pruned_model(self.task, plan)
        if plan.is_pruned:
            self._fit(model, samples, 1.0, self.place.seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder / WEIGHTS, model_weights(model))
        export_candidate(
            model, QuantizationChoice.FLOAT, None, self.task, self.place.settings, folder
        )
        return replace(self.examine(folder, "float"), plan=plan)

    def quantize(
        self,
        source: Candidate,
        choice: QuantizationChoice,
        samples: int,
        folder: Path,
        calibration: CalibrationAlgorithm,
    ) -> Candidate:
        import paddle

        from trainables.compression.pruning import pruned_model
        from trainables.compression.quantization import export_candidate, prepare_quantization
        from trainables.weights import load_weights, model_weights, write_weights

        assert source.plan is not None
        paddle.seed(self.place.seed)
        model = pruned_model(self.task, source.plan)
        load_weights(model, Path(source.folder) / WEIGHTS)
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder / WEIGHTS, model_weights(model))
        quantization = prepare_quantization(model, choice)
        if quantization is not None:
            self._fit(model, samples, QAT_SHARE, self.place.seed + 1)
        settings = self.place.settings.having(calibration=calibration)
        export_candidate(model, choice, quantization, self.task, settings, folder)
        plan = Plan.of(dict(source.plan.ratios), choice)
        return replace(self.examine(folder, choice.precision), plan=plan)

    def examine(self, folder: Path, precision: Precision) -> Candidate:
        from trainables.deployment.engines.paddle_inference import PaddleEngine

        engine = PaddleEngine(folder, precision, self.place.settings.threads)
        measured = self.context.measure(engine.run, "retrain", 0, 1.0)
        if precision == "int8" and not engine.quantizations():
            raise ValueError(f"the engine runs {folder.name} in float only")
        return Candidate(str(folder), precision, measured.metric_loss, measured.standard_error)

    def timed(self, candidate: Candidate) -> Candidate:
        from trainables.deployment.engines.paddle_inference import PaddleEngine
        from trainables.probe import FULL, mean_ratio, time_in_turn

        engine = PaddleEngine(
            Path(candidate.folder), candidate.precision, self.place.settings.threads
        )
        engines = [engine, self.context.baseline_engine]
        runs_ms = time_in_turn(engines, self.context.latency_batches, self.context.lease, FULL)
        return replace(candidate, latency_ratio=mean_ratio(runs_ms[:, 0], runs_ms[:, 1]))
