"""The problems: tasks, budgets, and the lengths of training that their users would choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.delivered.exported import ExportedModel
from benchmarks.models.data import ocr
from trainables.data.image_input import IMAGENET_MEAN, IMAGENET_STD
from trainables.settings import TrialSettings

# Processor seconds of a flow for which the lengths below are meant; with fewer, all are shortened.
SECONDS = 600.0


@dataclass(frozen=True)
class Lengths:
    """Samples of training, and trials of a search, for `SECONDS` of processor time."""

    trial: int
    trial_quantized: int
    full: int
    """Samples of a training in full, in float."""
    full_quantized: int
    """Further samples of quantization-aware training."""
    trials: int
    """Trials of the search as it was; ours plans by itself."""

    def within(self, seconds: float) -> Lengths:
        """Return the lengths for another processor time; trials are never longer than these."""
        share = min(1.0, seconds / SECONDS)
        return Lengths(
            max(64, round(share**0.5 * self.trial)),
            max(64, round(share**0.5 * self.trial_quantized)),
            max(64, round(share * self.full)),
            max(64, round(share * self.full_quantized)),
            # Both trials and their lengths shrink by the root of the share.
            max(3, round(seconds / SECONDS / share**0.5 * self.trials)),
        )


@dataclass(frozen=True)
class Problem:
    """A task with a trained baseline, and a budget."""

    name: str
    task: str
    budget: float
    latency_batch: int
    lengths: Lengths
    trained: str | None = None
    """The problem under benchmarks/problems whose baseline is trained first."""
    model: str | None = None
    """The model of benchmarks/models whose baseline is trained first."""
    exported: ExportedModel | None = None
    """The model that was exported elsewhere, which is brought into the work folder first."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of every command."""

    def _case(self) -> Any:
        from benchmarks.models.zoo import CASES

        return CASES[self.model]

    def prepare(self, work: Path) -> None:
        """Train the baseline and write its data, unless that has been done."""
        if self.model is not None:
            from benchmarks.models.measure import ensure_weights

            ensure_weights(self._case(), work / "models")
        elif self.trained is not None and not self._weights(work).is_file():
            from benchmarks.problems.baselines import train_baseline

            self._weights(work).parent.mkdir(parents=True, exist_ok=True)
            train_baseline(self.trained, self._weights(work))

    def _weights(self, work: Path) -> Path:
        return work / f"{self.name}.safetensors"

    def task_options(self, work: Path) -> dict[str, Any]:
        if self.exported is not None:
            return self.exported.task_options(work)
        if self.model is not None:
            options: dict[str, Any] = self._case().task_options(work / "models")
            return options
        return {} if self.trained is None else {"weights": str(self._weights(work))}

    def command_settings(self, work: Path) -> dict[str, Any]:
        """Return the settings of a search's command that do not depend on the method."""
        return {
            "task": self.task,
            "task_options": self.task_options(work),
            "latency_batch": self.latency_batch,
            **self.more,
        }

    def settings(self, work: Path, folder: Path, seed: int) -> TrialSettings:
        """Return a worker's settings; all files, the cache's too, are below `folder`."""
        return TrialSettings(
            run_folder=str(folder / "files"),
            cache_folder=str(folder / "cache"),
            seed=seed,
            **self.command_settings(work),
        )


# What two cores can do with these classifiers in the time.
SMALL_BATCHES: Mapping[str, Any] = {"eval_batch": 32, "calibration_samples": 64}
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "fashion_mnist", "fashion_mnist", 0.1, 64, Lengths(3_200, 1_500, 32_000, 8_000, 24)
        ),
        Problem(
            "digits",
            "benchmarks.problems.digits:make_task",
            0.02,
            64,
            Lengths(3_200, 1_500, 32_000, 8_000, 24),
            trained="digits",
        ),
        Problem(
            "nuclei",
            "benchmarks.problems.nuclei:make_task",
            0.025,
            16,
            Lengths(960, 320, 9_600, 2_400, 24),
            trained="nuclei",
        ),
        Problem(
            "mobilenet_v2",
            "classification",
            0.02,
            32,
            Lengths(1_600, 480, 12_000, 3_000, 12),
            model="MobileNetV2",
            more=SMALL_BATCHES,
        ),
        Problem(
            "resnet50_vd",
            "classification",
            0.02,
            32,
            Lengths(800, 240, 6_000, 1_500, 12),
            model="ResNet50_vd",
            more=SMALL_BATCHES,
        ),
        Problem(
            "hardnet", "paddleseg", 0.025, 8, Lengths(240, 80, 2_400, 600, 12), model="HarDNet"
        ),
        # The lengths of those below are of like models; only ours is run on them.
        Problem(
            "mobilenet_v2_single",
            "classification",
            0.02,
            1,
            Lengths(1_600, 480, 12_000, 3_000, 12),
            model="MobileNetV2",
            more=SMALL_BATCHES,
        ),
        Problem(
            "mobilenet_v3",
            "classification",
            0.02,
            32,
            Lengths(1_600, 480, 12_000, 3_000, 12),
            model="MobileNetV3",
            more=SMALL_BATCHES,
        ),
        Problem(
            *("pp_liteseg", "paddleseg", 0.025, 8, Lengths(960, 320, 9_600, 2_400, 12)),
            model="PP-LiteSeg",
        ),
        Problem(
            *("db", "paddleocr", 0.025, 4, Lengths(480, 160, 4_800, 1_200, 12)),
            model="DB-MobileNetV3",
        ),
    )
}
# On which all methods are compared.
COMPARED = ("fashion_mnist", "digits", "nuclei", "mobilenet_v2")
# On which the search is compared with itself without branches.
WITH_BRANCHES = ("fashion_mnist", "mobilenet_v2", "resnet50_vd", "hardnet")
# On which the fastest engine is compared with Paddle Inference.
ON_ENGINES = ("mobilenet_v2", "mobilenet_v2_single")
# On which a precision for every layer is compared with one for all, on the fastest engine.
WITH_LAYERS = ("mobilenet_v3", "resnet50_vd", "pp_liteseg", "db")

# The search and AutoCompression find their own lengths. A guess.
ANY_LENGTHS = Lengths(64, 64, 640, 160, 12)
RECOGNISER = ExportedModel("models/ch_PP-OCRv4_rec_infer", "lines", ocr.LINE)
DETECTOR = ExportedModel(
    "models/ch_PP-OCRv4_det_infer",
    "photos",
    (ocr.PHOTO, ocr.PHOTO),
    IMAGENET_MEAN,
    IMAGENET_STD,
    augment=True,
)
CLASSIFIER = ExportedModel("models/ch_ppocr_mobile_v2_cls_infer", "turned", ocr.TURNED)
DICTIONARY = "ch_ppocr_rec/ppocr_keys_v1.txt"


def _ocr(name: str, exported: ExportedModel, batch: int) -> Problem:
    # Fewer than by default (250 and 256): photos are 480 x 480. Guesses.
    more = {"eval_batch": 8, "calibration_samples": 64}
    return Problem(name, "exported", 0.02, batch, ANY_LENGTHS, exported=exported, more=more)


# PP-OCR's published models, with fidelity as the metric and with labels. Lines are read in batches
# of six, as rapidocr does; a photo is read alone.
OCR = {
    problem.name: problem
    for problem in (
        _ocr("ocr_detector", DETECTOR, 1),
        _ocr("ocr_detector_labels", replace(DETECTOR, labelled=True), 1),
        _ocr("ocr_recogniser", RECOGNISER, 6),
        _ocr(
            "ocr_recogniser_labels",
            replace(RECOGNISER, labelled=True, dictionary=DICTIONARY),
            6,
        ),
        _ocr("ocr_classifier", CLASSIFIER, 6),
    )
}


def problem_named(name: str) -> Problem:
    """Return a problem of `make bench`, or one of OCR."""
    return {**PROBLEMS, **OCR}[name]
