"""The settings of a study that its workers need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spaces.plan import CalibrationAlgorithm, EngineKind, ImportanceCriterion, Plan

# Names in a run's folder.
BASELINE = "baseline"
MODEL = "model"
INPUTS = "inputs"
SELECTIONS = "selections"
# Name of the figures in a retrained candidate's folder.
OUTCOME = "outcome.json"


def reference_name(plan: Plan) -> str:
    return f"references/{plan.key}"


def candidate_name(number: int) -> str:
    return f"candidates/{number:06d}"


def retrained_name(number: int) -> str:
    return f"retrained/{number:06d}"


def user_path(text: str) -> Path:
    """Return a path with "~" expanded; "~name" of an unknown user stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path's own raises for such a user)


def node_cache(given: str | None) -> Path:
    """Return the folder on this node for files that outlive a run."""
    if given is not None:
        return user_path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(base) / "slimsearch"


class WorkerSettings(BaseModel):
    """The settings that users give and workers need; RunConfig adds the driver's."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    task: str = "fashion_mnist"
    """A built-in task, or your own as "module:attribute"."""
    task_options: dict[str, Any] = {}
    """Keyword arguments of the task's factory, for example weights=FILE."""
    task_folder: str | None = None
    """Folder for the task's relative paths and its module, on every node.
    By default the current folder of the command."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Equal seeds give equal plans when trials run one at a time."""
    criterion: ImportanceCriterion = "l1_norm"
    """Importance of a channel; the least important channels of a group are removed first."""

    finetune_samples: int = Field(default=3_200, ge=1)
    """Training samples of a trial in float."""
    finetune_steps: int | None = Field(default=None, ge=1)
    """Training steps of a trial in float, as the toolkits count; replaces finetune_samples."""
    qat_samples: int = Field(default=1_500, ge=1)
    """Further training samples of a trial in quantization-aware training."""
    rungs: tuple[float, ...] = (0.5,)
    """Shares of the fine-tuning, below 1, after which a trial is measured and may be stopped."""
    retrain_samples: int = Field(default=32_000, ge=1)
    """Training samples of the winner in float, over all workers."""
    retrain_qat_samples: int = Field(default=10_000, ge=1)
    """Further training samples of the winner in quantization-aware training."""
    batch_size: int | None = Field(default=None, ge=1)
    """Samples in a training batch; by default the recipe's of the task."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate in float; by default the recipe's of the task."""
    distillation: float = Field(default=0.0, ge=0, le=1)
    """Share of the unpruned model's outputs in the training loss, beside the labels; 0: none."""
    calibration_samples: int = Field(default=256, ge=1)
    """Training samples that fix the scales of post-training quantization."""
    calibration: CalibrationAlgorithm = "abs_max"
    """How post-training quantization chooses the scales of activations."""

    eval_batch: int = Field(default=250, ge=1)
    """Samples in a batch of evaluation."""
    latency_batch: int = Field(default=64, ge=1)
    """Samples in a timed run."""
    latency_effort: float = Field(default=1.0, gt=0)
    """Factor on the seconds of each timing.
    At 1 they are at most 4 for a trial and 20 for the last timing; a busy machine may need more."""
    threads: int = Field(default=1, ge=1)
    """Threads of a trial, and of its engine."""
    engine: EngineKind = "onednn"
    """What Paddle Inference runs on: oneDNN on the CPU, a GPU, or TensorRT on a GPU."""

    @field_validator("rungs")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if tuple(sorted(set(value))) != value or any(not 0 < share < 1 for share in value):
            raise ValueError("rungs must rise, each above 0 and below 1")
        return value


class TrialSettings(WorkerSettings):
    """The settings of every worker of a run. Equal settings and plans give equal models."""

    run_folder: str
    """Folder of the run's files on every node; a relative path is below `cache`/runs."""
    cache_folder: str | None
    """Folder on a node for files that outlive a run; None: by its environment."""
    task_folder_sent: bool = False
    """Whether Ray sends a copy of the task's folder to every node."""
    shipped: dict[str, str] = {}
    """Paths in the run's folder of the files that task options name, by option."""
    shape_first: bool = True
    """Whether a trial times its shape before training, and can be stopped there."""

    def having(self, **changes: Any) -> TrialSettings:
        """Return a copy with these settings changed."""
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
        """Return the folder of a reference's export."""
        return self.folder / reference_name(plan)

    def candidate_folder(self, number: int) -> Path:
        """Return the folder of a trial's export and weights."""
        return self.folder / candidate_name(number)
