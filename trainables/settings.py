"""What workers are told about a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spaces.plan import CalibrationAlgorithm, EngineKind, ImportanceCriterion, Plan

# A run's files, by name within its folder.
BASELINE = "baseline"
MODEL = "model"
INPUTS = "inputs"
SELECTIONS = "selections"
# In a retrained candidate's folder: its figures.
OUTCOME = "outcome.json"


def reference_name(plan: Plan) -> str:
    return f"references/{plan.key}"


def candidate_name(number: int) -> str:
    return f"candidates/{number:06d}"


def retrained_name(number: int) -> str:
    return f"retrained/{number:06d}"


def user_path(text: str) -> Path:
    """Return a path that may begin with "~"; that of a user unknown here is an ordinary name."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path's own raises for such a user)


def node_cache(given: str | None) -> Path:
    """Return where this node keeps what outlives a run."""
    if given is not None:
        return user_path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(base) / "slimsearch"


class WorkerSettings(BaseModel):
    """The settings of a study that workers need: each is written here and nowhere else."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    task: str = "fashion_mnist"
    """A built-in task, or your own as "module:attribute"."""
    task_options: dict[str, Any] = {}
    """Keyword arguments of the task's factory, for example weights=FILE."""
    task_folder: str | None = None
    """Folder that relative paths of the task are read from, on every node.
    By default the one in which the command is given; the task's module may be in it."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Equal seeds give equal plans when trials run one at a time."""
    criterion: ImportanceCriterion = "l1_norm"
    """Which channels of a group go first: those that matter least by this."""

    finetune_samples: int = Field(default=3_200, ge=1)
    """Training samples a trial sees in float."""
    finetune_steps: int | None = Field(default=None, ge=1)
    """Training steps in float, as the toolkits count, in place of finetune_samples."""
    qat_samples: int = Field(default=1_500, ge=1)
    """Training samples a trial sees under quantization-aware training, beyond those."""
    rungs: tuple[float, ...] = (0.5,)
    """Shares of the fine-tuning after which a trial is measured and may be stopped, below 1."""
    retrain_samples: int = Field(default=32_000, ge=1)
    """Training samples the winner sees in float, over all workers."""
    retrain_qat_samples: int = Field(default=10_000, ge=1)
    """Training samples the winner sees under quantization-aware training, beyond those."""
    batch_size: int | None = Field(default=None, ge=1)
    """Samples in a training batch; by default the task's own recipe."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak of the learning rate in float; by default the task's own recipe."""
    calibration_samples: int = Field(default=256, ge=1)
    """Training samples that fix the scales of post-training quantization."""
    calibration: CalibrationAlgorithm = "abs_max"
    """How post-training quantization chooses the scales of activations."""

    eval_batch: int = Field(default=250, ge=1)
    """Samples in an evaluated batch."""
    latency_batch: int = Field(default=64, ge=1)
    """Samples in a timed run."""
    latency_effort: float = Field(default=1.0, gt=0)
    """Share of the usual seconds of each timing.
    Those are up to 4 for a trial and 20 for the last timing: a busy machine may need more."""
    threads: int = Field(default=1, ge=1)
    """Threads of a trial and of a timed run."""
    engine: EngineKind = "onednn"
    """What Paddle Inference runs models with: the CPU by oneDNN, a GPU, or a GPU by TensorRT."""

    @field_validator("rungs")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if tuple(sorted(set(value))) != value or any(not 0 < share < 1 for share in value):
            raise ValueError("rungs rise, each above 0 and below 1")
        return value


class TrialSettings(WorkerSettings):
    """What every worker of a run is told. Equal settings and an equal plan give an equal model."""

    run_folder: str
    """Where the run's files are on every node; a relative one is below the node's cache."""
    cache_folder: str | None
    """Where a node keeps what outlives a run; None: where its environment says."""
    task_folder_sent: bool = False
    """Whether Ray sends a copy of the task's folder to every node."""
    shipped: dict[str, str] = {}
    """Task options whose files come with the run: where they are in its folder."""
    shape_first: bool = True
    """Whether a trial times its shape before any training, so that it can be stopped there."""

    def having(self, **changes: Any) -> TrialSettings:
        """Return the same settings but for these."""
        return self.model_copy(update=changes)

    @property
    def cache(self) -> Path:
        return node_cache(self.cache_folder)

    @property
    def folder(self) -> Path:
        """The run's files on this node."""
        return self.cache / "runs" / self.run_folder

    @property
    def baseline_folder(self) -> Path:
        return self.folder / BASELINE

    def reference_folder(self, plan: Plan) -> Path:
        """Return where the export of a model lies that others are timed beside."""
        return self.folder / reference_name(plan)

    def candidate_folder(self, number: int) -> Path:
        """Return where trial `number` leaves its export and its weights."""
        return self.folder / candidate_name(number)
