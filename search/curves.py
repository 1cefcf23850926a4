"""TensorBoard's files of a search: how it goes, and each trial's training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune

from search.ledger import Ledger, TrialRecord
from search.watching import LedgerCallback, progress_figures

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


def curve_callbacks(trackers: Sequence[str], ledger: Ledger, run: Path) -> list[tune.Callback]:
    """Return the callbacks of the trackers that were asked for."""
    return [TensorBoardCallback(ledger, run)] if "tensorboard" in trackers else []
