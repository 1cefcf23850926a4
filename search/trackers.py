"""Callbacks for the trackers that people already use, each off unless asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray import tune

from search.ledger import Ledger
from search.trial_record import TrialRecord
from search.watching import LedgerCallback, progress_figures
from spaces.errors import ConfigError
from trainables.trainable import RESULT

FOLDER = "tensorboard"


class TensorBoardCallback(LedgerCallback):
    """Writes a curve over trials for what the search has come to, and a run for every trial."""

    def __init__(self, ledger: Ledger, run: Path) -> None:
        super().__init__(ledger)
        self._folder = run / FOLDER

    def begin(self) -> None:
        from tensorboardX import SummaryWriter

        self._search = SummaryWriter(str(self._folder / "search"))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        super().on_experiment_end(trials, **info)
        self._search.close()

    def tell(self, record: TrialRecord) -> None:
        from tensorboardX import SummaryWriter

        finished = len(self._told) + 1
        for name, value in progress_figures(self._ledger).items():
            self._search.add_scalar(name, value, finished)
        result = record.result
        with SummaryWriter(str(self._folder / f"trial-{record.number:06d}")) as writer:
            for measurement in result.measurements:
                percent = round(100 * measurement.fidelity)
                writer.add_scalar("metric", measurement.metric, percent)
                writer.add_scalar("metric_loss", measurement.metric_loss, percent)
                if measurement.train_loss is not None:
                    writer.add_scalar("train_loss", measurement.train_loss, percent)
            if result.latency_ratio is not None:
                writer.add_scalar("latency_ratio", result.latency_ratio, 100)


def mlflow_callback(run: Path) -> tune.Callback:
    """Return Ray's callback for MLflow: to the server that MLFLOW_TRACKING_URI names, or into the
    run folder."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    # MLflow would rather have a database than files, and refuses files unless told.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    place = os.environ.get("MLFLOW_TRACKING_URI") or (run / "mlruns").as_uri()
    return MLflowLoggerCallback(tracking_uri=place, experiment_name=run.name)


def wandb_callback(run: Path) -> tune.Callback:
    """Return Ray's callback for Weights & Biases: by WANDB_API_KEY to its server, or, with
    WANDB_MODE=offline, into the run folder."""
    from ray.air.integrations.wandb import WandbLoggerCallback

    project = os.environ.get("WANDB_PROJECT", "slimsearch")
    # Its runs are written by actors, which have the environment of the node, not the driver's.
    settings = {"mode": os.environ.get("WANDB_MODE"), "dir": str(run)}
    return WandbLoggerCallback(project=project, group=run.name, excludes=[RESULT], **settings)


PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def check_trackers(trackers: Sequence[str]) -> None:
    """Raise ConfigError for a tracker whose package is not installed."""
    for name in trackers:
        if find_spec(PACKAGES[name]) is None:
            raise ConfigError(
                f"trackers: {name} needs the package {PACKAGES[name]}, which is not installed; "
                f'pip install "slimsearch[{name}]", or leave it out'
            )


def tracker_callbacks(trackers: Sequence[str], ledger: Ledger, run: Path) -> list[tune.Callback]:
    """Return the callbacks of the trackers that were asked for."""
    made = {
        "tensorboard": lambda: TensorBoardCallback(ledger, run),
        "mlflow": lambda: mlflow_callback(run),
        "wandb": lambda: wandb_callback(run),
    }
    return [made[name]() for name in trackers]
