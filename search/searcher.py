"""The Ray Tune Searcher over Optuna's ask and tell. Sole importer of optuna.

Ray's own OptunaSearch cannot do this job: it sets no constraints, tells a trial that
was stopped early COMPLETE, and leaves one without metrics RUNNING.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from search.ledger import Ledger, TrialRecord
from spaces.plan import Plan
from spaces.space import CategoricalParameter, Space
from trainables.task import TrialResult
from trainables.trainable import NUMBER, PLAN, RESULT

STUDY_NAME = "search"
OBJECTIVES = ("metric_loss", "latency_ratio")
CONSTRAINT = "metric_loss_within_budget"
ORIGIN = "origin"
REPEATS = "repeats_trial"

# Asks in a row that may give plans already seen, before a plan is drawn at random, and
# before the space counts as exhausted.
PATIENCE = 20
EXHAUSTED = 200


@dataclass
class RunningTrial:
    """A plan that Ray is trying."""

    optuna_trial: optuna.Trial
    plan: Plan
    origin: str
    started_at: datetime


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


def open_study(journal: Path, seed: int) -> optuna.Study:
    """Return the study kept in the journal file, a new one if there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _mend(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=8)
        study = optuna.create_study(
            study_name=STUDY_NAME,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=sampler,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        study.set_metric_names(list(OBJECTIVES))
    return study


class PlanSearcher(Searcher):
    """Suggests plans, and tells Optuna how they did once the ledger has them on disk."""

    def __init__(
        self,
        space: Space,
        ledger: Ledger,
        journal: Path,
        seed: int,
        warm_starts: Sequence[Plan] = (),
        stop_reasons: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._space = space
        self._ledger = ledger
        self._stop_reasons = stop_reasons if stop_reasons is not None else {}
        self._seen = {record.plan.key: record for record in ledger.records.values()}
        self._running: dict[str, RunningTrial] = {}
        self._distributions = self._optuna_distributions()
        known = journal.exists()
        # A seed of its own after every resume, or the sampler would repeat itself.
        self._study = open_study(journal, (seed + 1_000_003 * len(ledger.records)) % 2**31)
        self._random = random.Random(seed + len(ledger.records))
        if known:
            self._replay()
        asked = {trial.user_attrs.get("plan") for trial in self._study.trials}
        for plan in warm_starts:
            if plan.key not in self._seen and plan.key not in asked:
                self._enqueue(plan, "warm_start")

    def _optuna_distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        for name, parameter in self._space.parameters().items():
            if isinstance(parameter, CategoricalParameter):
                distributions[name] = optuna.distributions.CategoricalDistribution(
                    parameter.choices
                )
            else:
                distributions[name] = optuna.distributions.IntDistribution(
                    parameter.low, parameter.high, step=parameter.step
                )
        return distributions

    def _enqueue(self, plan: Plan, origin: str) -> None:
        self._study.enqueue_trial(
            dict(self._space.encode(plan)), user_attrs={ORIGIN: origin, "plan": plan.key}
        )

    def _replay(self) -> None:
        """Bring Optuna up to the ledger after a crash.

        A trial that has its row was finished, whether Optuna had been told or not;
        one without is asked for again.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = optuna.Trial(self._study, frozen._trial_id)
            record = self._ledger.records.get(frozen.number)
            if record is not None:
                self._tell(trial, record.result)
                continue
            # Killed while it was being asked for, it has a part of its parameters only;
            # a warm start's are also where they waited.
            flat = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
            if set(flat) == set(self._distributions):
                self._enqueue(self._space.decode(flat), frozen.user_attrs.get(ORIGIN, "sampled"))
            self._study.tell(trial, state=TrialState.FAIL)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of a plan nobody has tried, or FINISHED if there is none."""
        for attempt in range(EXHAUSTED):
            if attempt >= PATIENCE:
                self._enqueue_at_random()
            trial = self._study.ask(self._distributions)
            plan = self._space.decode(trial.params)
            record = self._seen.get(plan.key)
            if record is not None:
                trial.set_user_attr(REPEATS, record.number)
                self._tell(trial, record.result)
            elif any(plan == running.plan for running in self._running.values()):
                # Its twin is being measured and will be told.
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                return self._start(trial_id, trial, plan)
        return Searcher.FINISHED

    def _start(self, trial_id: str, trial: optuna.Trial, plan: Plan) -> dict[str, Any]:
        origin = trial.user_attrs.get(ORIGIN, "sampled")
        trial.set_user_attr("plan", plan.key)
        now = datetime.now(timezone.utc)
        self._running[trial_id] = RunningTrial(trial, plan, origin, now)
        return {NUMBER: trial.number, PLAN: json.dumps(plan.to_json(), sort_keys=True)}

    def _enqueue_at_random(self) -> None:
        flat: dict[str, Any] = {}
        for name, parameter in self._space.parameters().items():
            if isinstance(parameter, CategoricalParameter):
                flat[name] = self._random.choice(parameter.choices)
            else:
                steps = range(parameter.low, parameter.high + 1, parameter.step)
                flat[name] = self._random.choice(steps)
        self._study.enqueue_trial(flat, user_attrs={ORIGIN: "sampled"})

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: a multi-objective study takes no intermediate values."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a trial that ended by itself or was stopped.

        Of an error Ray says here only that there was one; `record_failure` follows
        with the reason.
        """
        if error or trial_id not in self._running:
            return
        if result is None or RESULT not in result:
            self.record_failure(trial_id, "the trial ended without a result")
            return
        found = TrialResult.from_json(json.loads(result[RESULT]))
        if found.state == "RUNNING":
            found.state = "STOPPED"
            found.reason = self._stop_reasons.get(trial_id, "stopped by Ray")
            if found.measurements:
                found.metric = found.measurements[-1].metric
                found.metric_loss = found.measurements[-1].metric_loss
        self._finish(trial_id, found)

    def record_failure(self, trial_id: str, reason: str) -> None:
        """Record a trial whose worker raised or died."""
        if trial_id in self._running:
            self._finish(trial_id, TrialResult("FAILED", reason=reason))

    def _finish(self, trial_id: str, result: TrialResult) -> None:
        running = self._running.pop(trial_id)
        record = TrialRecord(
            number=running.optuna_trial.number,
            plan=running.plan,
            origin=running.origin,
            result=result,
            started_at=running.started_at,
            wall_s=(datetime.now(timezone.utc) - running.started_at).total_seconds(),
        )
        # On disk before Optuna knows: a crash in between is replayed, not lost.
        self._ledger.record(record)
        self._seen[record.plan.key] = record
        self._tell(running.optuna_trial, result)

    def _tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        """Give Optuna a result: COMPLETE is for full fidelity alone."""
        if result.state == "FAILED":
            self._study.tell(trial, state=TrialState.FAIL)
            return
        if result.metric_loss is not None:
            trial.set_constraint(CONSTRAINT, result.metric_loss - self._ledger.budget)
        if result.state == "COMPLETE":
            assert result.metric_loss is not None and result.latency_ratio is not None
            self._study.tell(trial, [result.metric_loss, result.latency_ratio])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    @property
    def repeats(self) -> int:
        """Suggestions, since the run began, that repeated a plan and were answered at once."""
        return sum(REPEATS in trial.user_attrs for trial in self.optuna_trials)

    @property
    def optuna_trials(self) -> list[FrozenTrial]:
        """Every trial of the Optuna study, repeats and failures among them."""
        return self._study.get_trials(deepcopy=False)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal and the tables are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""
