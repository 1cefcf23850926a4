"""What every worker is told about a study. Plain values, so that they travel as JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces.plan import CalibrationAlgorithm, EngineKind, ImportanceCriterion, Plan

# A run's files, by name within its folder.
BASELINE = "baseline"
MODEL = "model"
INPUTS = "inputs"
SELECTIONS = "selections"


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


@dataclass(frozen=True)
class TrialSettings:
    """Equal settings and an equal plan give an equal model."""

    task: str
    """A built-in name, or "module:attribute"."""
    run_folder: str
    """Where the run's files are on every node; a relative one is below the node's cache."""
    cache_folder: str | None
    """Where a node keeps what outlives a run; None: where its environment says."""
    task_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the task's factory, for example {"weights": "mine.safetensors"}."""
    task_folder: str | None = None
    """Folder that the task is loaded in, on every node; None: wherever a worker happens to be."""
    task_folder_sent: bool = False
    """Whether Ray sends a copy of that folder to every node."""
    shipped: dict[str, str] = field(default_factory=dict)
    """Those whose files come with the run: where they are in its folder."""
    seed: int = 0
    rungs: tuple[float, ...] = (0.5,)
    """Shares of the fine-tuning after which a trial is measured, ascending, below 1."""
    criterion: ImportanceCriterion = "l1_norm"
    finetune_samples: int = 3_200
    """Training samples a trial sees in float."""
    finetune_steps: int | None = None
    """Steps in place of those samples; None: as many as the samples make."""
    qat_samples: int = 1_500
    """Training samples a trial sees under quantization-aware training, beyond the float ones."""
    retrain_samples: int = 32_000
    """Training samples the winner sees in float, over all workers."""
    retrain_qat_samples: int = 10_000
    batch_size: int | None = None
    """Samples in a training batch; None: the task's own recipe."""
    learning_rate: float | None = None
    """Peak of the learning rate in float; None: the task's own recipe."""
    calibration: CalibrationAlgorithm = "abs_max"
    calibration_samples: int = 256
    """Training samples that fix the scales of post-training quantization."""
    eval_batch: int = 250
    latency_batch: int = 64
    """Samples in a timed run."""
    latency_effort: float = 1.0
    """Share of the usual seconds that each timing goes on for."""
    threads: int = 1
    """Threads of a timed run, and of a trial."""
    engine: EngineKind = "onednn"
    shape_first: bool = True
    """Whether a trial times its shape before any training, so that it can be stopped there."""

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
