"""The Ray Tune Searcher: suggests plans, and records what became of them.

Ray's own OptunaSearch cannot do this job: it sets no constraints, tells a trial that was stopped
early COMPLETE, and leaves one without metrics RUNNING.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.search import Searcher

from search.records.ledger import Ledger, known_of
from search.records.trial_record import TrialRecord
from search.tune.journal import REPEATS, Journal, plan_text
from search.tune.plan_source import (
    WARM_START,
    OptunaSource,
    PlannerSource,
    PlanSource,
    Proposal,
    RandomSource,
    Sources,
)
from search.tune.ray_quirks import StaysInDriver
from spaces.plan import Plan
from trainables.files.codec import decode
from trainables.results import TrialResult
from trainables.trainable import NUMBER, PLAN, RESULT


@dataclass
class RunningTrial:
    """A plan that Ray is trying."""

    number: int
    plan: Plan
    origin: str
    started_at: datetime

    def age_s(self) -> float:
        """Return the wall seconds since it started."""
        return (datetime.now(timezone.utc) - self.started_at).total_seconds()


@dataclass
class Losses:
    """What lost workers have cost a plan so far."""

    times: int = 0
    seconds: float = 0.0


class PlanSearcher(StaysInDriver, Searcher):
    """Suggests plans of several sources, and tells them how they did once the ledger has a row."""

    def __init__(
        self,
        sources: Sources,
        ledger: Ledger,
        journal: Path,
        seed: int,
        *,
        trials: int | None = None,
        retries: int = 0,
        again: Collection[Plan] = (),
    ) -> None:
        """`trials` is the number to finish, earlier ones included; None for no limit. `retries` is
        how often a plan is restarted after its worker was lost. Plans in `again` failed in an
        earlier run and may be tried once more."""
        super().__init__()
        self._ledger = ledger
        self._trials, self._retries = trials, retries
        self._seen = {
            record.plan: record for record in ledger.records.values() if record.plan not in again
        }
        self._running: dict[str, RunningTrial] = {}
        self._losses: dict[Plan, Losses] = {}
        self._explanations: dict[str, str] = {}
        self.exhausted = False
        """Whether every plan of the space has been tried."""
        done = len(ledger.records)
        self._random, self._turn = random.Random(seed + done), done
        # A resumed search has another seed, or the sampler would repeat itself.
        self._journal = Journal(journal, sources.space, ledger, (seed + 1_000_003 * done) % 2**31)
        planned = [] if sources.planner is None else [PlannerSource(sources.planner)]
        self._sources: list[PlanSource] = [
            *planned,
            OptunaSource(self._journal, self._seen.get),
            RandomSource(sources.space),
        ]
        for source in self._sources:
            source.learn(ledger.known())
        self._queue = deque(self._first_proposals(sources.first, again))

    def _first_proposals(self, first: Collection[Plan], again: Collection[Plan]) -> list[Proposal]:
        """Return what is tried before any source is asked: warm starts that nobody has tried, those
        that failed in an earlier run, and the plans that a crash interrupted."""
        interrupted = [Proposal(plan, origin, n) for n, plan, origin in self._journal.interrupted]
        running = {proposal.plan for proposal in interrupted}
        untried = [p for p in first if p not in self._seen and p not in running]
        plans = sorted(untried, key=lambda plan: plan in again)
        return [*(Proposal(plan, WARM_START) for plan in plans), *interrupted]

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of a plan nobody has tried, or FINISHED if there is none.

        None as long as the running trials may be enough: if a worker is lost, they are not.
        """
        if self._trials is not None:
            done = len(self._ledger.records)
            if done >= self._trials:
                return Searcher.FINISHED
            if done + len(self._running) >= self._trials:
                return None
        proposal = self._next_proposal()
        if proposal is None:
            self.exhausted = True
            return Searcher.FINISHED
        plan, number = proposal.plan, proposal.number
        if number is None:
            number = self._journal.begin(plan, proposal.origin)
        now = datetime.now(timezone.utc)
        self._running[trial_id] = RunningTrial(number, plan, proposal.origin, now)
        return {NUMBER: number, PLAN: plan_text(plan)}

    def _next_proposal(self) -> Proposal | None:
        if self._queue:
            return self._queue.popleft()
        self._turn += 1
        for source in self._sources:
            proposal = source.propose(self._turn, self._is_tried, self._random)
            if proposal is not None:
                return proposal
        return None

    def _is_tried(self, plan: Plan) -> bool:
        running = self._running.values()
        return plan in self._seen or any(plan == trial.plan for trial in running)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: a multi-objective study takes no intermediate values."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a trial that ended or was stopped. After an error `record_failure` is called."""
        if error or trial_id not in self._running:
            return
        if result is None or RESULT not in result:
            # The worker died as it was handed the trial.
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
        """Note why a trial is about to be stopped or ended."""
        self._explanations[trial_id] = reason

    def explanation(self, trial_id: str) -> str | None:
        """Return why a trial was stopped or ended on purpose; None if it was not."""
        return self._explanations.get(trial_id)

    def record_failure(self, trial_id: str, reason: str) -> None:
        """Record a trial that cannot be finished."""
        if trial_id in self._running:
            self._finish(trial_id, TrialResult("FAILED", reason=reason))

    def note_loss(self, trial_id: str, reason: str) -> None:
        """Restart a trial whose worker was lost; record it as failed if that was too often."""
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
        self._queue.append(Proposal(running.plan, running.origin, running.number))

    def _finish(self, trial_id: str, result: TrialResult) -> None:
        running = self._running.pop(trial_id)
        losses = self._losses.pop(running.plan, Losses())
        record = TrialRecord(
            number=running.number,
            plan=running.plan,
            origin=running.origin,
            result=result,
            started_at=running.started_at,
            wall_s=running.age_s(),
            retries=losses.times,
            lost_s=losses.seconds,
        )
        # On disk before the journal is told: a crash in between is replayed, not lost.
        self._ledger.record(record)
        self._seen[record.plan] = record
        self._journal.tell(running.number, result)
        for source in self._sources:
            source.learn(known_of([record]))

    @property
    def rebuilt(self) -> bool:
        """Whether Optuna's journal was damaged, and made again from the tables."""
        return self._journal.rebuilt

    @property
    def repeats(self) -> int:
        """Samples of Optuna's, since the run began, that repeated a plan and were told at once."""
        return sum(REPEATS in trial.user_attrs for trial in self.optuna_trials)

    @property
    def optuna_trials(self) -> list[FrozenTrial]:
        """Every trial of the Optuna study, repeats and failures included."""
        return self._journal.trials

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal and the tables are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as `save`."""
