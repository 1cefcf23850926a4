"""The file in which Optuna keeps a study, trial by trial, for `optuna-dashboard` too."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.records.trial_record import TrialRecord
from search.tune.sampling import ENDED, RecentTPESampler
from spaces.plan import Plan

STUDY_NAME = "search"
OBJECTIVES = ("metric_loss", "latency_ratio")

# Attributes of Optuna's trials.
PLANNED = "plan"
REPEATS = "repeats_trial"

# What Optuna is told of a trial that ended so.
STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "STOPPED": TrialState.PRUNED,
    "FAILED": TrialState.FAIL,
}


def plan_text(plan: Plan) -> str:
    """Return a plan as one line of JSON, equal for equal plans."""
    return json.dumps(plan.to_json(), sort_keys=True)


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


def set_aside(journal: Path) -> None:
    """Move a damaged journal out of the way, in place of one that was moved before."""
    aside = journal.with_name(f"{journal.name}.damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    journal.replace(aside)


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


def agrees(
    study: optuna.Study,
    distributions: Mapping[str, BaseDistribution],
    records: Mapping[int, TrialRecord],
) -> bool:
    """Return whether a journal's trials are those of the tables, and of the space searched."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    for number, trial in trials.items():
        if any(distributions.get(name) != kind for name, kind in trial.distributions.items()):
            return False
        record = records.get(number)
        if record is None:
            # One that repeats another has no row.
            if trial.state in ENDED and REPEATS not in trial.user_attrs:
                return False
            continue
        result = record.result
        if trial.user_attrs.get(PLANNED) != plan_text(record.plan):
            return False
        if trial.state.is_finished() and trial.state is not STATES[result.state]:
            return False
        measured = [result.metric_loss, result.latency_ratio]
        if trial.state is TrialState.COMPLETE and trial.values != measured:
            return False
    return records.keys() <= trials.keys()
