"""The file of a search's Optuna study: opened, repaired, compared with the tables."""

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

from search.records.ledger import Ledger
from search.tune.sampling import ENDED, RecentTPESampler
from spaces.goal import Quantity
from spaces.plan import Plan
from trainables.results import TrialResult

STUDY_NAME = "search"

# Attributes of Optuna's trials.
PLANNED = "plan"
ORIGIN = "origin"
REPEATS = "repeats_trial"
PROMOTES = "promotes_trial"

# Optuna's state of a trial that ended in each of ours.
STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "PAUSED": TrialState.PRUNED,
    "STOPPED": TrialState.PRUNED,
    "FAILED": TrialState.FAIL,
}


def plan_text(plan: Plan) -> str:
    """Return a plan as one line of JSON, equal for equal plans."""
    return json.dumps(plan.to_json(), sort_keys=True)


def first_state(result: TrialResult) -> TrialState:
    """Return Optuna's state of the trial that a plan began as: PRUNED if it was promoted later."""
    failed_later = result.state == "FAILED" and result.level is not None
    return STATES["PAUSED" if result.level or failed_later else result.state]


def _repair(journal: Path) -> None:
    """Remove what a killed process leaves; the run folder's own lock says that it is gone.

    That is its lock, and half a line at the end: Optuna reads past such a line, but appends to it
    and cannot read the result.
    """
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        whole = journal.read_bytes().rpartition(b"\n")
        if whole[2]:
            with journal.open("rb+") as file:
                file.truncate(len(whole[0]) + len(whole[1]))


def set_aside(journal: Path) -> None:
    """Rename a damaged journal, in place of one that was renamed before."""
    aside = journal.with_name(f"{journal.name}.damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    journal.replace(aside)


def open_study(
    journal: Path,
    distributions: Mapping[str, BaseDistribution],
    seed: int,
    objective: Quantity = "latency",
) -> optuna.Study:
    """Return the study kept in the journal file, a new one if there is none.

    It minimizes the loss and the ratio of the objective.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _repair(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=STUDY_NAME,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=RecentTPESampler(distributions, seed),
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        study.set_metric_names(["metric_loss", f"{objective}_ratio"])
    return study


def agrees(
    study: optuna.Study,
    distributions: Mapping[str, BaseDistribution],
    ledger: Ledger,
) -> bool:
    """Return whether a journal's trials are those of the tables, and of the space searched."""
    records = ledger.records
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    for number, trial in trials.items():
        if any(distributions.get(name) != kind for name, kind in trial.distributions.items()):
            return False
        record = records.get(number)
        if record is None:
            # A trial that repeats another has no row, and neither has a promotion.
            if trial.state in ENDED and not {REPEATS, PROMOTES} & trial.user_attrs.keys():
                return False
            continue
        result = record.result
        if trial.user_attrs.get(PLANNED) != plan_text(record.plan):
            return False
        if trial.state.is_finished() and trial.state is not first_state(result):
            return False
        measured = [result.metric_loss, ledger.cost(record)]
        if trial.state is TrialState.COMPLETE and trial.values != measured:
            return False
    return records.keys() <= trials.keys()
