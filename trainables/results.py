"""Every value that crosses from workers to the driver. Imports no paddle.

The tables of a run (search/records/tables.py) have a column for each field with a `Column`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, with_config

from spaces.layers import Layer
from spaces.plan import Plan, Precision, PruningGroup, QuantizationChoice
from trainables.deployment.exported import PADDLE_FILES
from trainables.files.codec import PlanField
from trainables.task import ModelInput

# Unknown fields of a file are ignored; a number that is not finite means damage.
FILE = ConfigDict(extra="ignore", allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
State = Literal["RUNNING", "PAUSED", "COMPLETE", "STOPPED", "FAILED"]
MEASURED: tuple[State, ...] = ("PAUSED", "COMPLETE")
"""States of trials that were measured after a level of training."""
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """Marks a field as a column of a table, as in `Annotated[float, Column("...")]`."""

    meaning: str


# --- the unpruned model


@with_config(FILE)
@dataclass(frozen=True)
class Excluded:
    """A group that cannot be pruned, with its reason."""

    name: str
    reason: str


@with_config(FILE)
@dataclass(frozen=True)
class Chance:
    """The metric of a model that ignores its inputs, on the same samples."""

    metric: float
    reached: bool
    """Whether the baseline is no better, within the sampling error."""

    def in_words(self, name: str, baseline: float) -> str:
        """Return a warning, for a chance that is `reached`."""
        return (
            f"WARNING: {name} {baseline:.4f} is no better than that of a model that ignores its "
            f"inputs ({self.metric:.4f}), so a loss hardly shows; load trained weights"
        )


@with_config(FILE)
@dataclass(frozen=True)
class Reference:
    """A model that candidates are timed beside: a plan's shape, exported untrained."""

    plan: PlanField
    latency_ratio: Positive
    """To the baseline; all references and the baseline are timed in turn."""
    by_size: tuple[Positive, ...] = ()
    """The same at each size that is timed; none in a run of an older version, which has one."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """The latency ratio at each size; `latency_ratio` is their mean."""
        return self.by_size or (self.latency_ratio,)


@with_config(FILE)
@dataclass(frozen=True)
class Untimed:
    """A plan whose shape could not be timed."""

    plan: PlanField
    reason: str


@with_config(FILE)
@dataclass(frozen=True)
class EngineTime:
    """The unpruned model, untrained further, on one engine in one precision."""

    engine: str
    """As the setting `engine` names it."""
    precision: Precision
    latency_ms: Positive | None
    """None if it could not be timed there."""
    reason: str | None = None
    """Why it could not."""


@with_config(FILE)
@dataclass(frozen=True)
class Baseline:
    """The unpruned model, measured once per study."""

    metric_name: str
    maximize: bool
    metric: float
    """On validation, from the exported float model."""
    latency_ms: Positive
    """Median of a few seconds of runs."""
    size_bytes: Count
    fingerprint: str
    """Digest of weights, validation data and metric, on which cached results depend."""
    groups: tuple[PruningGroup, ...]
    excluded: Annotated[tuple[Excluded, ...], Field(alias="left_out")]
    """In JSON `left_out`, as earlier runs have it."""
    layers: tuple[Layer, ...]
    choices: tuple[QuantizationChoice, ...]
    """Those that this machine's engine offers."""
    inputs: tuple[ModelInput, ...]
    train_s: float
    """Wall seconds of training per sample, unpruned, in float."""
    evaluate_s: float
    """Wall seconds of one evaluation on validation."""
    export_s: float | None = None
    """Wall seconds of the export in float; None in a run of an older version."""
    batch_size: int | None = None
    """Samples in a training batch; None in a run of an older version."""
    chance: Chance | None = None
    """The metric at chance level; None if it cannot be computed."""
    first_batch: str | None = None
    """Digest of the first validation batch; workers check that theirs is the same."""
    references: tuple[Reference, ...] = ()
    """Models that candidates are timed beside; measured after the other fields."""
    remarks: tuple[str, ...] = ()
    """Remarks of the task and its weights, a line each."""
    branches: tuple[PruningGroup, ...] = ()
    """Parts that can be taken out whole."""

    @property
    def items(self) -> tuple[PruningGroup, ...]:
        """All that a plan may have a ratio for: groups, then branches."""
        return self.groups + self.branches


@with_config(FILE)
@dataclass(frozen=True)
class Sensitivity:
    """The metric with one group pruned at one ratio."""

    group: Annotated[str, Column("pruning group, as in the table ratios")]
    ratio: Annotated[float, Column("share of the group's channels removed, 0 to 1")]
    metric: Annotated[float | None, Column("metric on validation, in the task's own unit")]
    metric_loss: Annotated[
        float | None,
        Column(
            "relative loss of the metric, (baseline - pruned) / |baseline|; below "
            "0 is a gain; null if the pruned model could not be evaluated"
        ),
    ]


# --- latencies


@with_config(FILE)
@dataclass(frozen=True)
class LatencyReading:
    """The result of one latency probe."""

    latency_ms: Annotated[float, Column("milliseconds per run of batch_size samples")]
    baseline_latency_ms: Annotated[float, Column("milliseconds per run of the baseline")]
    ratio: Annotated[
        float, Column("latency relative to the baseline, timed in turn; below 1 is faster")
    ]
    ratio_spread: Annotated[
        float, Column("half the interquartile range of the ratio over the rounds")
    ]
    run_ms: Annotated[
        float,
        Column("median milliseconds per run as measured, without correction for machine load"),
    ]
    rounds: Annotated[int, Column("timed rounds")]
    batch_size: Annotated[int, Column("samples per run")]
    threads: Annotated[int, Column("threads of the engine")]
    ratios: tuple[float, ...] = ()
    """At each size that is timed; `ratio` is their mean. None in a run of an older version."""


@dataclass(frozen=True)
class Probe:
    """A latency reading of a trial."""

    stage: str
    """`shape`: before training; `export`: after it."""
    reused: bool
    """Whether it is an earlier reading of an equal shape."""
    reading: LatencyReading


@dataclass(frozen=True)
class TimedShape:
    """A plan's shape, timed untrained."""

    plan: Plan
    reused: bool
    reading: LatencyReading


# --- trials

_LOSS = Column("relative loss of the metric, (baseline - trial) / |baseline|; below 0 is a gain")
_STANDARD_ERROR = Column("standard error of metric_loss, from paired resampling of the samples")


@with_config(FILE)
@dataclass(frozen=True)
class Measurement:
    """One evaluation of a trial's model, at the end of a level."""

    stage: Annotated[str, Column("quantize: the exported model")]
    rung: Annotated[int, Column("number of the level, from 0")]
    fidelity: Annotated[float, Column("share of the training in full that is done, 0 to 1")]
    metric: Annotated[float, Column("metric on validation, in the task's own unit")]
    metric_loss: Annotated[float, _LOSS]
    standard_error: Annotated[float, _STANDARD_ERROR]
    train_loss: Annotated[
        float | None,
        Column("mean training loss of the level; null without training"),
    ]


@dataclass
class TrialResult:
    """The result of a trial so far; a field is None until it is measured."""

    state: Annotated[
        State,
        Column(
            "COMPLETE: trained in full; PAUSED: trained in part, may be promoted; STOPPED: too "
            "slow to be trained; FAILED: an error"
        ),
    ]
    reason: Annotated[str | None, Column("why the trial was stopped or failed")] = None
    metric: Annotated[
        float | None, Column("metric of the exported model on validation, in the task's own unit")
    ] = None
    metric_loss: Annotated[float | None, _LOSS] = None
    standard_error: Annotated[float | None, _STANDARD_ERROR] = None
    latency_ms: Annotated[float | None, Column("milliseconds per run of latency_batch samples")] = (
        None
    )
    baseline_latency_ms: Annotated[
        float | None, Column("milliseconds per run of the baseline, timed in turn")
    ] = None
    latency_ratio: Annotated[
        float | None, Column("latency relative to the baseline, timed in turn; below 1 is faster")
    ] = None
    size_bytes: Annotated[int | None, Column("bytes of the exported files")] = None
    export_difference: Annotated[
        float | None,
        Column("RMS difference of the export's outputs from the model's, relative to their spread"),
    ] = None
    worker: Annotated[str | None, Column("host:pid of the process that ran the trial")] = None
    level: Annotated[int | None, Column("last level measured, from 0; null if none was")] = None
    fidelity: Annotated[float | None, Column("share of the training in full at its end")] = None
    measurements: list[Measurement] = field(default_factory=list)
    readings: list[Probe] = field(default_factory=list)
    """Latency probes, in order."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds by stage."""
    layers: dict[str, Precision] | None = None
    """What each layer runs in, as the engine tells, if it was quantized after training."""

    def __post_init__(self) -> None:
        # A measured trial that names no level was trained in one, as those of older versions.
        if self.state in MEASURED:
            self.level = 0 if self.level is None else self.level
            self.fidelity = 1.0 if self.fidelity is None else self.fidelity


# --- the winner


@with_config(FILE)
@dataclass(frozen=True)
class RetrainFigures:
    """A candidate after its training in full, on validation."""

    metric: float
    metric_loss: float
    standard_error: float
    train_loss: float | None = None
    """Mean since the last checkpoint; None without training."""
    export_difference: float | None = None
    size_bytes: int | None = None
    workers: int | None = None
    """Number of data-parallel workers that trained it."""


@with_config(FILE)
@dataclass(frozen=True)
class Sizes:
    """Bytes of the exported files."""

    baseline: Count
    winner: Count


@with_config(FILE)
@dataclass(frozen=True)
class FinalFigures:
    """The delivered model and the baseline: on the test split, and timed at length."""

    baseline_test: float
    winner_test: float
    metric_loss_test: float
    standard_error_test: float
    latency: LatencyReading
    size_bytes: Sizes
    engine: str
    engine_config: dict[str, bool | int | str]
    """What the engine was given: see `Configuration.options` of the engines' protocol."""
    int8_operators: tuple[str, ...] | None = None
    """Argument of `enable_mkldnn_int8` if oneDNN cannot quantize all operators; else None."""
    deleted_passes: tuple[str, ...] = ()
    """Passes of Paddle Inference that compute wrongly; give each to `delete_pass`."""
    engine_files: tuple[str, ...] = PADDLE_FILES
    """Files that the engine loads, of the model's folder."""
    evaluated_on: str | None = None
    """Engine that evaluated the models, if a command timed them."""
    engine_versions: dict[str, str] = field(default_factory=dict)
    """Versions of the engine's packages, but for Paddle."""
    float_precision: Precision | None = None
    """What layers in float beside INT8 are computed in; None without, or if that is not known."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file."""

    difference: float
    """RMS difference of its outputs from Paddle's, relative to their spread."""
    size_bytes: int
