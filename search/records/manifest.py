"""The manifest: what someone without this code needs to deploy the model and to trust it."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from spaces.goal import Quantity
from spaces.plan import Precision
from trainables.data.image_input import Preparation
from trainables.deployment.exported import PADDLE_FILES

SCHEMA_VERSION = 1
PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddleslim", "ray", "optuna", "numpy", "pyarrow")


class _Part(BaseModel):
    # Those of other versions may have more, or less.
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)


class SplitFigures(NamedTuple):
    """A metric on one split."""

    where: str
    baseline: float
    winner: float
    loss: float
    standard_error: float


class MetricFigures(_Part):
    """The task's metric, of the baseline and of the delivered model (winner)."""

    name: str
    """Name of the metric."""
    maximize: bool
    """Whether more is better."""
    baseline_val: float
    """Baseline on validation."""
    baseline_test: float
    """Baseline on the test split."""
    winner_val: float
    """Delivered model on validation."""
    winner_test: float
    """Delivered model on the test split."""
    loss_val: float
    """Relative to the baseline; this is what the budget bounds."""
    loss_val_standard_error: float
    """Standard error of loss_val, over the samples of the split."""
    loss_val_margin: float | None = None
    """How far below the budget loss_val had to be; None in files of an older version."""
    loss_test: float
    """Relative loss on the test split."""
    loss_test_standard_error: float
    """Standard error of loss_test, over the samples of the split."""
    within_budget_on_test: bool
    """Whether loss_test is at most the budget."""

    def budget_use(self, budget: float) -> float | None:
        """Return (loss_val + margin) / budget: 1 is all of it; None if that cannot be said."""
        if self.loss_val_margin is None or budget == 0:
            return None
        return (self.loss_val + self.loss_val_margin) / budget

    def splits(self) -> tuple[SplitFigures, SplitFigures]:
        """Return the figures on validation and on test."""
        return (
            SplitFigures(
                "validation",
                self.baseline_val,
                self.winner_val,
                self.loss_val,
                self.loss_val_standard_error,
            ),
            SplitFigures(
                "test",
                self.baseline_test,
                self.winner_test,
                self.loss_test,
                self.loss_test_standard_error,
            ),
        )


class LatencyFigures(_Part):
    """Milliseconds of a run of batch_size samples, both models timed in turn."""

    baseline: float
    """Milliseconds of the baseline; at the first of several sizes."""
    winner: float
    """Milliseconds of the delivered model: the baseline's, times the ratio if there are several
    sizes."""
    ratio: float
    """Median of winner to baseline over rounds that time both in turn; of several sizes the mean of
    these."""
    ratios: list[float] = []
    """The same at each size: at the input's `shape`, then at its `more_shapes`."""
    batch_size: int
    """Samples of a timed run."""
    threads: int
    """Threads of a timed run."""
    engine: str
    """What ran both models."""


class EngineFigures(_Part):
    """How much faster the engine makes the model, and compression on that engine."""

    by_engine: float
    """The unpruned float model's latency on Paddle Inference, in multiples of that on the engine;
    timed in turn, before the search; at the first of several sizes."""
    by_compression: float
    """The unpruned float model's latency on the engine, in multiples of the delivered model's."""
    together: float
    """Their product."""


class SizeFigures(_Part):
    """Bytes of the exported files."""

    baseline: int
    """Bytes of the baseline."""
    winner: int
    """Bytes of the delivered model."""


class MultiplyAddsFigures(_Part):
    """Multiply-adds of one sample through the convolutions and linear layers."""

    baseline: int
    """Multiply-adds of the baseline."""
    winner: int
    """Multiply-adds of the delivered model."""


class FloatLayers(_Part):
    """Layers that are not in INT8, though the others are."""

    names: tuple[str, ...]
    """Names of the layers in the network, sorted."""
    precision: Precision | None = None
    """What they are computed in, as the engine tells of all that is not in INT8; None if it does
    not tell, or of several."""


class TrialFigures(_Part):
    """Counts of the search's trials."""

    finished: int
    """All trials that ended."""
    complete: int
    """At full fidelity; the others of `finished` were stopped early or failed."""
    feasible: int
    """Complete and within the budget."""
    failed: int
    """Ended by an error."""
    repeats: int
    """Suggestions answered from an earlier trial of the same plan."""
    retries: int = 0
    """Restarts of trials because their worker, or its node, was lost."""
    lost_s: float = 0.0
    """Wall seconds spent before these restarts."""


class InputFigures(_Part):
    """An input of the model, and how raw values become it."""

    name: str
    """Name of the input in the exported model."""
    shape: list[int | None]
    """The batch axis, first, is None."""
    more_shapes: list[list[int | None]] = []
    """Further shapes that the models were timed at; the model takes other sizes too where these
    differ."""
    dtype: str
    """Type of its values."""
    layout: str
    """Order of its axes, for example NCHW."""
    channel_order: str
    """RGB or BGR, of raw pixels with three channels."""
    scale: float
    """What a raw value is multiplied by, first."""
    mean: list[float]
    """What is subtracted next, for each channel or for all."""
    std: list[float]
    """What is divided by last, for each channel or for all."""
    image: Preparation | None = None
    """How an image file becomes this input: decoder, resizing, crop, padding, as model/deploy.py
    computes it. None: not known."""


class RetrainedFigures(_Part):
    """A candidate that was retrained, in the order of trying."""

    trial: int
    """Number of its trial."""
    metric_val: float
    """Metric on validation after the training in full."""
    loss_val: float
    """Relative loss on validation."""
    standard_error: float
    """Standard error of loss_val."""
    accepted: bool
    """Whether loss_val keeps the budget by its margin."""


class Manifest(_Part):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    """Version of this file's fields."""
    task: str
    """Name of the task."""
    budget: float
    """Relative loss that was allowed."""
    objective: Quantity = "latency"
    """What was minimized: latency, size or multiply_adds."""
    max_latency_ms: float | None = None
    """Bound on the delivered model's latency; None: no bound."""
    max_size_bytes: int | None = None
    """Bound on the delivered model's size; None: no bound."""
    seed: int
    """Seed of the plans and of the training."""
    versions: dict[str, str]
    """Versions of the packages that the figures depend on."""
    metric: MetricFigures
    """The metric of both models."""
    latency_ms: LatencyFigures
    """The latency of both models."""
    speedup: EngineFigures | None = None
    """What the engine and compression gain, each; None if the engine was not timed
    beside Paddle Inference: it is that itself, or a command."""
    size_bytes: SizeFigures
    """The size of both models."""
    multiply_adds: MultiplyAddsFigures | None = None
    """The arithmetic of both models; None in files of an older version, or if no layer has any."""
    trials: TrialFigures
    """How many trials the search ran."""
    retrained: list[RetrainedFigures] = []
    """The candidates that were trained in full, in that order."""
    input: InputFigures
    """Raw values times `scale`, minus `mean`, divided by `std`, in this layout."""
    more_inputs: list[InputFigures]
    """The inputs after the first, for models that have several."""
    engine_config: dict[str, bool | int | str]
    """Of Paddle Inference: switches of paddle.inference.Config that have to be called. Of other
    engines: what they are to be given."""
    engine_files: tuple[str, ...] = PADDLE_FILES
    """Files of the model's folder that the engine loads."""
    evaluated_on: str | None = None
    """Engine that evaluated the models and that engine_config is of, if a command timed them."""
    int8_operators: tuple[str, ...] | None = None
    """What to give `enable_mkldnn_int8`, where oneDNN cannot quantize all; None: nothing."""
    deleted_passes: tuple[str, ...] = ()
    """What to give `delete_pass`, each in turn: passes of Paddle Inference that compute wrongly."""
    float_layers: FloatLayers | None = None
    """The layers that stay in float beside INT8; None if all have one precision, and in files of an
    older version."""
    stages_s: dict[str, float]
    """Wall seconds of each stage of the run."""
    sha256: dict[str, str]
    """Digest of each delivered file: models, plan, deploy.py."""

    def ratio(self) -> float | None:
        """Return the winner's ratio to the baseline in what was minimized, None if not known."""
        if self.objective == "latency":
            return self.latency_ms.ratio
        both = self.size_bytes if self.objective == "size" else self.multiply_adds
        return None if both is None else both.winner / both.baseline

    def missed(self) -> list[str]:
        """Return the bounds that the delivered model exceeds, each in words."""
        latency_ms, size = self.latency_ms.winner, self.size_bytes.winner
        found = []
        if self.max_latency_ms is not None and latency_ms > self.max_latency_ms:
            found.append(
                f"the final timing is {latency_ms:.3g} ms, above the bound of "
                f"{self.max_latency_ms:g}"
            )
        if self.max_size_bytes is not None and size > self.max_size_bytes:
            found.append(f"the files have {size} bytes, above the bound of {self.max_size_bytes}")
        return found


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def digests(root: Path, files: list[Path]) -> dict[str, str]:
    """Return the sha256 of each file under its path below `root`."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
