"""Every value that crosses from workers to the driver. Imports no paddle.

The tables of a run are made of these classes too (search/records/tables.py): a field marked as a
`Column` says what it means there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, with_config

from spaces.layers import Layer
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from trainables.files.codec import PlanField
from trainables.task import ModelInput

# A file may have more than what is read of it; a figure that is not finite is damage.
FILE = ConfigDict(extra="ignore", allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
State = Literal["RUNNING", "COMPLETE", "STOPPED", "FAILED"]
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """Marks a field that a table has a column of, as `Annotated[float, Column("...")]`."""

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
    """How a model that ignores its inputs does on the same samples."""

    metric: float
    reached: bool
    """Whether it does as well as the baseline, within the sampling error."""

    def in_words(self, name: str, baseline: float) -> str:
        """Return a warning; call it only where chance is reached."""
        return (
            f"MIND: {name} {baseline:.4f} is no better than that of a model that ignores its "
            f"inputs ({self.metric:.4f}), so hardly any loss can be seen; load trained weights"
        )


@with_config(FILE)
@dataclass(frozen=True)
class Reference:
    """A model that others are timed beside: the shape of a plan, exported untrained."""

    plan: PlanField
    latency_ratio: Positive
    """To the baseline, timed in turn with it and with all other references."""


@with_config(FILE)
@dataclass(frozen=True)
class Untimed:
    """A plan whose shape could not be timed."""

    plan: PlanField
    reason: str


@with_config(FILE)
@dataclass(frozen=True)
class Baseline:
    """What is measured of the unpruned model, once a study."""

    metric_name: str
    maximize: bool
    metric: float
    """On validation, from the exported float model."""
    latency_ms: Positive
    """The median of a few seconds' runs."""
    size_bytes: Count
    fingerprint: str
    """Of weights and validation data: what sensitivities and latencies depend on."""
    groups: tuple[PruningGroup, ...]
    excluded: Annotated[tuple[Excluded, ...], Field(alias="left_out")]
    """In JSON `left_out`, as earlier runs have it."""
    layers: tuple[Layer, ...]
    choices: tuple[QuantizationChoice, ...]
    """What this machine's engine offers."""
    inputs: tuple[ModelInput, ...]
    train_s: float
    """Wall seconds that training takes a sample, unpruned, in float."""
    evaluate_s: float
    """Wall seconds of one evaluation on validation."""
    chance: Chance | None = None
    """How a model does that ignores its inputs; None if nobody can say."""
    first_batch: str | None = None
    """Digest of the first batch of validation: its samples are compared one by one."""
    references: tuple[Reference, ...] = ()
    """What candidates are timed beside; measured after the rest."""
    remarks: tuple[str, ...] = ()
    """What the task and its weights say of themselves, a line each."""


@with_config(FILE)
@dataclass(frozen=True)
class Sensitivity:
    """One group at one ratio, relative to the whole unpruned model."""

    group: Annotated[str, Column("as in ratios")]
    ratio: Annotated[float, Column("share of the group's channels removed")]
    metric: Annotated[float | None, Column("on validation, in the task's own unit")]
    metric_loss: Annotated[
        float | None,
        Column(
            "relative loss of the metric, (baseline - pruned) / |baseline|; below "
            "0 is a gain; null where the pruned model could not be evaluated"
        ),
    ]


# --- latencies


@with_config(FILE)
@dataclass(frozen=True)
class LatencyReading:
    """What one probe found."""

    latency_ms: Annotated[float, Column("milliseconds of a run of batch_size samples")]
    baseline_latency_ms: Annotated[float, Column("milliseconds of the baseline beside it")]
    ratio: Annotated[
        float, Column("of latency_ms to the baseline, from rounds in turn; below 1 is faster")
    ]
    ratio_spread: Annotated[
        float, Column("half the distance of the quartiles of the rounds' ratios")
    ]
    run_ms: Annotated[
        float, Column("milliseconds of a run as the clock had it, neighbours included")
    ]
    rounds: Annotated[int, Column("rounds that were timed")]
    batch_size: Annotated[int, Column("samples in a run")]
    threads: Annotated[int, Column("of the engine")]


@dataclass(frozen=True)
class Probe:
    """A reading, and where it is from."""

    stage: str
    """`shape`, before any training, or `export`."""
    reused: bool
    """Whether it is the reading of an equal shape of before."""
    reading: LatencyReading


@dataclass(frozen=True)
class TimedShape:
    """A plan's shape, timed untrained."""

    plan: Plan
    reused: bool
    reading: LatencyReading


@dataclass(frozen=True)
class RunTimes:
    """What the clock said of some runs, in milliseconds."""

    mean_ms: float
    spread_ms: float
    """Standard deviation of a run."""


# --- trials


@with_config(FILE)
@dataclass(frozen=True)
class Measurement:
    """A model evaluated once: at one rung, or finally."""

    stage: Annotated[str, Column("finetune: the model in training; quantize: the export")]
    rung: Annotated[int, Column("0 is the first")]
    fidelity: Annotated[float, Column("share of the trial's training that was done, 0 to 1")]
    metric: Annotated[float, Column("on validation, in the task's own unit")]
    metric_loss: Annotated[
        float,
        Column("relative loss of the metric, (baseline - trial) / |baseline|; below 0 is a gain"),
    ]
    standard_error: Annotated[
        float, Column("standard error of metric_loss, from paired resampling of the samples")
    ]
    train_loss: Annotated[
        float | None,
        Column("mean training loss since the rung before; null where nothing was trained"),
    ]


@dataclass
class TrialResult:
    """What one trial found out. None is what it did not get to."""

    state: Annotated[State, Column("COMPLETE: at full fidelity; STOPPED early; FAILED")]
    reason: Annotated[str | None, Column("why it was stopped or failed")] = None
    metric: Annotated[
        float | None, Column("on validation, of the exported model, in the task's own unit")
    ] = None
    metric_loss: Annotated[
        float | None,
        Column("relative loss of the metric, (baseline - trial) / |baseline|; below 0 is a gain"),
    ] = None
    standard_error: Annotated[
        float | None, Column("standard error of metric_loss, over the samples of the split")
    ] = None
    latency_ms: Annotated[
        float | None, Column("milliseconds of a run of latency_batch samples")
    ] = None
    baseline_latency_ms: Annotated[
        float | None, Column("milliseconds of the baseline, timed in turn with it")
    ] = None
    latency_ratio: Annotated[
        float | None, Column("of the trial's model to the baseline, from rounds in turn")
    ] = None
    size_bytes: Annotated[int | None, Column("bytes of the exported files")] = None
    export_difference: Annotated[
        float | None, Column("of the export's outputs from the model's, over their spread")
    ] = None
    worker: Annotated[str | None, Column("host:pid of the process that ran it")] = None
    measurements: list[Measurement] = field(default_factory=list)
    readings: list[Probe] = field(default_factory=list)
    """Latency probes in order."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds by stage."""


# --- the winner


@with_config(FILE)
@dataclass(frozen=True)
class RetrainFigures:
    """A candidate after its training in full, on validation."""

    metric: float
    metric_loss: float
    standard_error: float
    train_loss: float | None = None
    """Mean over the last stretch; None where nothing was trained."""
    export_difference: float | None = None
    size_bytes: int | None = None
    workers: int | None = None
    """Data-parallel workers that trained it."""


@with_config(FILE)
@dataclass(frozen=True)
class Sizes:
    """Bytes of the exported files."""

    baseline: Count
    winner: Count


@with_config(FILE)
@dataclass(frozen=True)
class FinalFigures:
    """The delivered model beside the baseline: the test split, and the last timing."""

    baseline_test: float
    winner_test: float
    metric_loss_test: float
    standard_error_test: float
    latency: LatencyReading
    size_bytes: Sizes
    engine: str
    engine_config: dict[str, bool]
    """Switches of paddle.inference.Config that have to be called."""
    int8_operators: tuple[str, ...] | None = None
    """What to give `enable_mkldnn_int8`, where oneDNN cannot quantize all; None: nothing."""


@dataclass(frozen=True)
class OnnxFile:
    """A model written as ONNX."""

    difference: float
    """Of its outputs from Paddle's, as a share of their spread."""
    size_bytes: int


# --- answers about a task


@dataclass(frozen=True)
class GroupShapes:
    """A pruning group, and the shapes of what shrinks with it."""

    group: PruningGroup
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    """Of every member: its structured name and its shape, unpruned."""


@dataclass(frozen=True)
class GroupList:
    """The pruning groups of a model, and those excluded."""

    groups: tuple[GroupShapes, ...]
    excluded: tuple[Excluded, ...]
    remarks: tuple[str, ...] = ()
    """What the task and its weights say of themselves, a line each."""


@dataclass(frozen=True)
class Demand:
    """One demand of the Task contract, and how the task meets it."""

    name: str
    met: bool
    said: str
