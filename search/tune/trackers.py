"""Callbacks for experiment trackers; each is off unless asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ray import tune

from search.records.ledger import Ledger
from search.records.trial_record import TrialRecord
from search.tune.watching import listening, progress_figures
from spaces.errors import ConfigError
from trainables.trainable import RESULT

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard:
    """Writes curves of the search's progress over its trials, and a run for every trial."""

    def __init__(self, ledger: Ledger, folder: Path, search: SummaryWriter) -> None:
        self._ledger, self._folder, self._search = ledger, folder, search

    def __call__(self, record: TrialRecord) -> None:
        from tensorboardX import SummaryWriter

        for name, value in progress_figures(self._ledger).items():
            self._search.add_scalar(name, value, len(self._ledger.records))
        result = record.result
        with SummaryWriter(str(self._folder / f"trial-{record.number:06d}")) as writer:
            # Those of earlier levels are written.
            for measurement in result.measurements[result.level :]:
                percent = round(100 * measurement.fidelity)
                writer.add_scalar("metric", measurement.metric, percent)
                writer.add_scalar("metric_loss", measurement.metric_loss, percent)
                if measurement.train_loss is not None:
                    writer.add_scalar("train_loss", measurement.train_loss, percent)
            if result.latency_ratio is not None:
                writer.add_scalar("latency_ratio", result.latency_ratio, 100)


@contextmanager
def tensorboard(trackers: Sequence[str], ledger: Ledger, run: Path) -> Iterator[None]:
    """Write TensorBoard's files of the trials that finish meanwhile, if it was asked for."""
    if "tensorboard" not in trackers:
        yield
        return
    from tensorboardX import SummaryWriter

    folder = run / FOLDER
    with (
        SummaryWriter(str(folder / "search")) as search,
        listening(ledger, TensorBoard(ledger, folder, search)),
    ):
        yield


def mlflow_callback(run: Path) -> tune.Callback:
    """Return Ray's callback for MLflow. It writes to the server in MLFLOW_TRACKING_URI, or into the
    run folder.
    """
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    # MLflow refuses to write to files without this.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    place = os.environ.get("MLFLOW_TRACKING_URI") or (run / "mlruns").as_uri()
    return MLflowLoggerCallback(tracking_uri=place, experiment_name=run.name)


def wandb_callback(run: Path) -> tune.Callback:
    """Return Ray's callback for Weights & Biases. It writes to its server, with WANDB_API_KEY, or,
    with WANDB_MODE=offline, into the run folder.
    """
    from ray.air.integrations.wandb import WandbLoggerCallback

    project = os.environ.get("WANDB_PROJECT", "slimsearch")
    # Actors write its runs, in the environment of their node and not in the driver's.
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


def tracker_callbacks(trackers: Sequence[str], run: Path) -> list[tune.Callback]:
    """Return Ray's callbacks for the trackers asked for; `tensorboard` has none."""
    made = {"mlflow": mlflow_callback, "wandb": wandb_callback}
    return [made[name](run) for name in trackers if name in made]
