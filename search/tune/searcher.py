"""The Ray Tune Searcher over Optuna's ask and tell.

Ray's own OptunaSearch cannot do this job: it sets no constraints, tells a trial that
was stopped early COMPLETE, and leaves one without metrics RUNNING.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from search.records.ledger import Ledger, known_of
from search.records.trial_record import TrialRecord
from search.tune.journal import PLANNED, REPEATS, agrees, open_study, plan_text, set_aside
from search.tune.ray_quirks import StaysInDriver
from search.tune.sampling import optuna_distributions
from spaces.errors import one_line
from spaces.plan import Plan
from spaces.planning.encoding import Encoding
from spaces.space import Value
from trainables.files.codec import decode
from trainables.results import TrialResult
from trainables.trainable import NUMBER, PLAN, RESULT

logger = logging.getLogger(__name__)

CONSTRAINT = "metric_loss_within_budget"
ORIGIN = "origin"

# Asks in a row that may give plans already seen, before it is a proposal's turn (the first there
# is in so many turns), before a plan is drawn at random, and before the space counts as exhausted.
HESITATION, TURNS = 3, 4
PATIENCE = 20
EXHAUSTED = 200


@dataclass
class RunningTrial:
    """A plan that Ray is trying."""

    optuna_trial: optuna.Trial
    plan: Plan
    origin: str
    started_at: datetime

    def age_s(self) -> float:
        """Return the wall seconds since it was begun."""
        return (datetime.now(timezone.utc) - self.started_at).total_seconds()


@dataclass
class Losses:
    """What a plan has cost so far because its workers were lost."""

    times: int = 0
    seconds: float = 0.0


class PlanSearcher(StaysInDriver, Searcher):
    """Suggests plans, and tells Optuna how they did once the ledger has them on disk."""

    def __init__(
        self,
        encoding: Encoding,
        ledger: Ledger,
        journal: Path,
        seed: int,
        warm_starts: Sequence[Plan] = (),
        *,
        trials: int | None = None,
        retries: int = 0,
        again: Collection[Plan] = (),
    ) -> None:
        """`trials` is how many to finish, those of before among them; None for as many as are
        asked for. `retries` is how often a plan is begun anew when its worker is lost.
        Plans in `again` failed before, and may be tried as if they had not been."""
        super().__init__()
        self._encoding = encoding
        self._ledger = ledger
        self._explanations: dict[str, str] = {}
        self._seen = {
            record.plan: record for record in ledger.records.values() if record.plan not in again
        }
        self._running: dict[str, RunningTrial] = {}
        self._trials = trials
        self._retries = retries
        self._losses: dict[Plan, Losses] = {}
        self.exhausted = False
        """Whether there is no plan left that nobody has tried."""
        self._distributions = optuna_distributions(encoding.parameters())
        self._encoding.learn(ledger.known())
        self._journal = journal
        # A seed of its own after every resume, or the sampler would repeat itself.
        self._journal_seed = (seed + 1_000_003 * len(ledger.records)) % 2**31
        self.rebuilt = False
        """Whether Optuna's journal was damaged, and made again from the tables."""
        self._random = random.Random(seed + len(ledger.records))
        self._turn = len(ledger.records)
        self._open_journal()
        asked = {trial.user_attrs.get(PLANNED) for trial in self.optuna_trials}
        for plan in warm_starts:
            if plan not in self._seen and (plan in again or plan_text(plan) not in asked):
                self._enqueue(plan, "warm_start")
        self._waiting = sum(t.state is TrialState.WAITING for t in self.optuna_trials)

    def _enqueue(self, plan: Plan, origin: str, flat: Mapping[str, Value] | None = None) -> None:
        """Have the next `ask` give this plan, under the numbers it is nearest to."""
        self._study.enqueue_trial(
            dict(flat if flat is not None else self._encoding.encode(plan)),
            user_attrs={ORIGIN: origin, PLANNED: plan_text(plan)},
        )

    def _open_journal(self) -> None:
        """Open Optuna's journal and bring it up to the ledger.

        One that is damaged is set aside, and a new one told of all that the tables have.
        """
        if self._journal.exists():
            try:
                self._study = open_study(self._journal, self._distributions, self._journal_seed)
                if agrees(self._study, self._distributions, self._ledger.records):
                    self._replay()
                    return
            except Exception as error:  # Of a damaged line Optuna raises whatever it runs into.
                logger.debug("journal %s: %s", self._journal, one_line(error))
            self.rebuilt = True
            set_aside(self._journal)
        self._study = open_study(self._journal, self._distributions, self._journal_seed)
        self._rebuild()

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
            # Killed while it was being asked for, it may have no plan yet: nothing is lost.
            text = frozen.user_attrs.get(PLANNED)
            if text is not None:
                flat = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
                whole = set(flat) == set(self._distributions)
                plan = Plan.from_json(json.loads(text))
                origin = frozen.user_attrs.get(ORIGIN, "sampled")
                self._enqueue(plan, origin, flat if whole else None)
            self._study.tell(trial, state=TrialState.FAIL)

    def _rebuild(self) -> None:
        """Tell a new journal of the ledger's trials, under their numbers.

        On another machine there are the tables alone. Numbers without a row were begun in vain.
        """
        for number in range(max(self._ledger.records, default=-1) + 1):
            record = self._ledger.records.get(number)
            if record is None:
                self._study.tell(self._study.ask(), state=TrialState.FAIL)
                continue
            self._enqueue(record.plan, record.origin)
            trial = self._study.ask(self._distributions)
            assert trial.number == number
            self._tell(trial, record.result)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of a plan nobody has tried, or FINISHED if there is none.

        None as long as those that run may be enough: if a worker is lost, one is not.
        """
        if self._trials is not None:
            done = len(self._ledger.records)
            if done >= self._trials:
                return Searcher.FINISHED
            if done + len(self._running) >= self._trials:
                return None
        if self._waiting:
            self._waiting -= 1
        else:
            self._enqueue_proposal()
        for attempt in range(EXHAUSTED):
            if attempt >= PATIENCE:
                self._enqueue_at_random()
            elif attempt and attempt % HESITATION == 0:
                self._enqueue_proposal(TURNS)
            trial = self._study.ask(self._distributions)
            plan = self._plan_of(trial)
            record = self._seen.get(plan)
            if record is not None:
                trial.set_user_attr(REPEATS, record.number)
                self._tell(trial, record.result)
            elif self._is_tried(plan):
                # Its twin is being measured and will be told.
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                return self._start(trial_id, trial, plan)
        self.exhausted = True
        return Searcher.FINISHED

    def _is_tried(self, plan: Plan) -> bool:
        running = self._running.values()
        return plan in self._seen or any(plan == trial.plan for trial in running)

    def _plan_of(self, trial: optuna.Trial) -> Plan:
        """Return the plan a trial was enqueued with, or what its numbers mean today."""
        text = trial.user_attrs.get(PLANNED)
        if text is not None:
            return Plan.from_json(json.loads(text))
        plan = self._encoding.decode(trial.params)
        trial.set_user_attr(PLANNED, plan_text(plan))
        return plan

    def _start(self, trial_id: str, trial: optuna.Trial, plan: Plan) -> dict[str, Any]:
        origin = trial.user_attrs.get(ORIGIN, "sampled")
        now = datetime.now(timezone.utc)
        self._running[trial_id] = RunningTrial(trial, plan, origin, now)
        return {NUMBER: trial.number, PLAN: plan_text(plan)}

    def _enqueue_proposal(self, turns: int = 1) -> None:
        """Have the next `ask` give a proposal, if there is one in so many turns."""
        for _ in range(turns):
            self._turn += 1
            plan = self._encoding.propose(self._turn, self._is_tried, self._random)
            if plan is not None:
                self._enqueue(plan, "proposed")
                return

    def _enqueue_at_random(self) -> None:
        self._enqueue(self._encoding.space.random(self._random), "sampled")

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
            # So it is when a worker dies in the moment in which it is handed the trial.
            self.note_loss(trial_id, "the trial ended without a result")
            return
        found = decode(TrialResult, result[RESULT])
        if found.state == "RUNNING":
            found.state = "STOPPED"
            found.reason = self.explanation(trial_id) or "stopped by Ray"
            if found.measurements:
                found.metric = found.measurements[-1].metric
                found.metric_loss = found.measurements[-1].metric_loss
        self._finish(trial_id, found)

    def explain(self, trial_id: str, reason: str) -> None:
        """Be told why a trial is about to be stopped, or ended, on purpose."""
        self._explanations[trial_id] = reason

    def explanation(self, trial_id: str) -> str | None:
        """Return why a trial was stopped, or ended, on purpose; None if it was not."""
        return self._explanations.get(trial_id)

    def record_failure(self, trial_id: str, reason: str) -> None:
        """Record a trial that cannot be finished."""
        if trial_id in self._running:
            self._finish(trial_id, TrialResult("FAILED", reason=reason))

    def note_loss(self, trial_id: str, reason: str) -> None:
        """Have a trial whose worker was lost begun anew, or record it if that was too often."""
        running = self._running.get(trial_id)
        if running is None:
            return
        losses = self._losses.setdefault(running.plan, Losses())
        if losses.times >= self._retries:
            self.record_failure(trial_id, reason)
            return
        losses.times += 1
        losses.seconds += running.age_s()
        del self._running[trial_id]
        self._enqueue(running.plan, running.origin, running.optuna_trial.params)
        self._waiting += 1
        self._study.tell(running.optuna_trial, state=TrialState.FAIL)

    def _finish(self, trial_id: str, result: TrialResult) -> None:
        running = self._running.pop(trial_id)
        losses = self._losses.pop(running.plan, Losses())
        record = TrialRecord(
            number=running.optuna_trial.number,
            plan=running.plan,
            origin=running.origin,
            result=result,
            started_at=running.started_at,
            wall_s=running.age_s(),
            retries=losses.times,
            lost_s=losses.seconds,
        )
        # On disk before Optuna knows: a crash in between is replayed, not lost.
        self._ledger.record(record)
        self._seen[record.plan] = record
        self._tell(running.optuna_trial, result)
        self._encoding.learn(known_of([record]))

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
