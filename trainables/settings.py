"""The settings of a study that its workers need."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from spaces.plan import CalibrationAlgorithm, ImportanceCriterion, Plan
from trainables.deployment.engines.registry import EngineKind, LocalKind
from trainables.task import ModelInput

# Names in a run's folder.
BASELINE = "baseline"
MODEL = "model"
INPUTS = "inputs"
SELECTIONS = "selections"
# Name of the figures in a retrained candidate's folder.
OUTCOME = "outcome.json"
# Training samples from which batch norms' statistics are measured anew: of small images the most,
# of large ones fewer, but not fewer than the least, since a batch norm averages over places too.
# With 128 images of 28 or 64 pixels branches' losses are as with 256, with 64 they are up to twice
# as large (LOG: what comes before the search, in exports). The places are a guess.
MOST_NORM_SAMPLES, LEAST_NORM_SAMPLES, NORM_PLACES = 256, 32, 256 * 64 * 64


def norm_samples(inputs: Sequence[ModelInput]) -> int:
    """Return the number of training samples that give a model's batch norms their statistics."""
    places = max((math.prod(spec.shape[1:]) for spec in inputs if len(spec.shape) > 2), default=1)
    return min(MOST_NORM_SAMPLES, max(LEAST_NORM_SAMPLES, NORM_PLACES // max(1, places)))


def reference_name(plan: Plan) -> str:
    return f"references/{plan.key}"


def candidate_name(number: int, level: int = 0) -> str:
    """Return the name of the folder of a trial's export and weights after a level."""
    return f"candidates/{number:06d}" + (f"-{level}" if level else "")


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

    sensitivity_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the validation batches that sensitivities are measured on, evenly spread.
    Losses of plans are always measured on all."""
    finetune_samples: int = Field(default=800, ge=1)
    """Training of a plan in float before it is measured, in samples of the unpruned model.
    A plan that needs fewer multiply-adds sees more samples for the same compute."""
    finetune_steps: int | None = Field(default=None, ge=1)
    """The same in training steps, as the toolkits count; replaces finetune_samples."""
    qat_samples: int = Field(default=400, ge=1)
    """Further training before that in quantization-aware training."""
    promotion_factor: float = Field(default=4.0, ge=2, le=100)
    """Promising plans are trained on, until they have seen this many times as much."""
    retrain_samples: int = Field(default=12_800, ge=1)
    """Training in full in float: that of the delivered model, counted as finetune_samples."""
    retrain_qat_samples: int = Field(default=3_200, ge=1)
    """Further training in full in quantization-aware training."""
    batch_size: int | None = Field(default=None, ge=1)
    """Samples in a training batch; by default the recipe's of the task."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate in float; by default the recipe's of the task."""
    mixed_precision: bool = True
    """Whether training in float computes in float16 where that loses nothing; on GPUs alone."""
    distillation: float = Field(default=0.9, ge=0, le=1)
    """Share of the unpruned model's outputs in the training loss, beside the labels; 0: none.
    Training before a plan's first measurement is by the labels alone."""
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
    """What runs the exported model. Paddle Inference: `onednn` on the CPU, `gpu`, or `tensorrt`.
    `openvino` and `onnxruntime` on the CPU, each with the extra of that name.
    `auto`: of the installed ones of the CPU the one on which the unpruned model is fastest.
    `command`: one of yours that times models on another device, `probe_command`."""
    probe_command: str | None = None
    """With engine=command: what times a model, for example "ssh board bench {model} {batch}".
    {model} is the folder of its files; the last line that is printed is milliseconds.
    {shape} is the input's shape, as 3x480x640, needed for a model that is timed at several."""
    probe_engine: LocalKind = "onednn"
    """With engine=command: the engine on this node that evaluates the models."""
    probe_timeout_s: float = Field(default=300.0, gt=0)
    """With engine=command: seconds after which a call has failed. Each is tried twice."""

    @property
    def evaluated_by(self) -> LocalKind:
        """The engine that computes outputs."""
        if self.engine == "auto":
            # Before the fastest is known: the one that is always installed.
            return "onednn"
        return self.probe_engine if self.engine == "command" else self.engine


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

    def candidate_folder(self, number: int, level: int = 0) -> Path:
        """Return the folder of a trial's export and weights after a level."""
        return self.folder / candidate_name(number, level)
