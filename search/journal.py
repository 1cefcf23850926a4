"""The file in which Optuna keeps a study, trial by trial, for `optuna-dashboard` too."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.sampling import RecentTPESampler

STUDY_NAME = "search"
OBJECTIVES = ("metric_loss", "latency_ratio")


def _mend(journal: Path) -> None:
    """Remove what a killed process may have left; the run folder's own lock says it is gone.

    Its lock, and half a line at the end: Optuna reads past that, but would write on
    behind it and then find a line that makes no sense.
    """
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        whole = journal.read_bytes().rpartition(b"\n")
        if whole[2]:
            with journal.open("rb+") as file:
                file.truncate(len(whole[0]) + len(whole[1]))


def open_study(
    journal: Path, distributions: Mapping[str, BaseDistribution], seed: int
) -> optuna.Study:
    """Return the study kept in the journal file, a new one if there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _mend(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=STUDY_NAME,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=RecentTPESampler(distributions, seed),
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        study.set_metric_names(list(OBJECTIVES))
    return study
