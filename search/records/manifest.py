"""The manifest: what someone without this code needs to deploy the model and to trust it."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from trainables.data.image_input import Preparation

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
    name: str
    maximize: bool
    baseline_val: float
    baseline_test: float
    winner_val: float
    winner_test: float
    loss_val: float
    """Relative to the baseline; this is what the budget bounds."""
    loss_val_standard_error: float
    loss_test: float
    loss_test_standard_error: float
    within_budget_on_test: bool

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
    baseline: float
    winner: float
    ratio: float
    """Median of winner to baseline over rounds that time both in turn."""
    batch_size: int
    threads: int
    engine: str


class SizeFigures(_Part):
    baseline: int
    winner: int


class TrialFigures(_Part):
    finished: int
    complete: int
    """At full fidelity; the others of `finished` were stopped early or failed."""
    feasible: int
    failed: int
    repeats: int
    """Suggestions answered from an earlier trial of the same plan."""
    retries: int = 0
    """Trials begun anew because their worker, or its node, was lost."""
    lost_s: float = 0.0
    """Wall seconds that went into what was lost."""


class InputFigures(_Part):
    name: str
    shape: list[int | None]
    """The batch axis, first, is None."""
    dtype: str
    layout: str
    channel_order: str
    scale: float
    mean: list[float]
    std: list[float]
    image: Preparation | None = None
    """How an image file becomes this input: decoder, resizing, crop, padding. None: not known."""


class RetrainedFigures(_Part):
    """A candidate that was retrained, in the order of trying."""

    trial: int
    metric_val: float
    loss_val: float
    standard_error: float
    accepted: bool


class Manifest(_Part):
    schema_version: int = SCHEMA_VERSION
    task: str
    budget: float
    seed: int
    versions: dict[str, str]
    metric: MetricFigures
    latency_ms: LatencyFigures
    size_bytes: SizeFigures
    trials: TrialFigures
    retrained: list[RetrainedFigures] = []
    input: InputFigures
    """Raw values times `scale`, minus `mean`, divided by `std`, in this layout."""
    more_inputs: list[InputFigures]
    """The inputs after the first, for models that have several."""
    engine_config: dict[str, bool]
    """Switches of paddle.inference.Config that have to be called."""
    int8_operators: tuple[str, ...] | None = None
    """What to give `enable_mkldnn_int8`, where oneDNN cannot quantize all; None: nothing."""
    deleted_passes: tuple[str, ...] = ()
    """What to give `delete_pass`, each in turn: passes of Paddle Inference that compute wrongly."""
    stages_s: dict[str, float]
    sha256: dict[str, str]


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
