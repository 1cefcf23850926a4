"""The Ray Tune Searcher: suggests plans, and records what became of them.

Ray's own OptunaSearch cannot do this job: it sets no constraints, tells a trial that was stopped
early COMPLETE, and leaves one without metrics RUNNING.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.search import Searcher

from search.records.ledger import Ledger
from search.records.trial_record import TrialRecord, continued
from search.schedule.deadline import Deadline
from search.schedule.forecast import Closing
from search.tune.journal import Journal
from search.tune.journal_file import REPEATS, plan_text
from search.tune.plan_source import (
    WARM_START,
    OptunaSource,
    PlannerSource,
    PlanSource,
    Proposal,
    RandomSource,
    Sources,
)
from search.tune.promotion import Promotions
from search.tune.ray_quirks import StaysInDriver
from spaces.plan import Plan
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from trainables.files.codec import decode
from trainables.results import TrialResult
from trainables.trainable import LEVEL, NUMBER, PLAN, RESULT


@dataclass
class RunningTrial:
    """A plan that Ray is trying."""

    number: int
    proposal: Proposal
    started_at: datetime

    @property
    def plan(self) -> Plan:
        return self.proposal.plan

    @property
    def level(self) -> int:
        """The level that it is trained for."""
        return self.proposal.level

    def age_s(self) -> float:
        """Return the wall seconds since it started."""
        return (datetime.now(timezone.utc) - self.started_at).total_seconds()


@dataclass
class Losses:
    """What lost workers have cost a plan so far."""

    times: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """When a search ends."""

    trials: int | None = None
    """Number of plans to try, earlier ones included; None for no limit."""
    retries: int = 0
    """How often a plan is restarted after its worker was lost."""
    finalists: int = 0
    """After the last plan, promotions may take the compute of this many trainings in full."""
    deadline: Deadline | None = None
    """Replaces `finalists`: promotions may take all the time that is left."""


NO_LIMITS = Limits()


class PlanSearcher(StaysInDriver, Searcher):
    """Suggests plans of several sources, and tells them how they did once the ledger has a row."""

    def __init__(
        self,
        sources: Sources,
        ledger: Ledger,
        journal: Path,
        seed: int,
        *,
        limits: Limits = NO_LIMITS,
        again: Collection[Plan] = (),
    ) -> None:
        """Plans in `again` failed in an earlier run and may be tried once more."""
        super().__init__()
        self._ledger, self._limits = ledger, limits
        self._promotions = Promotions(ledger, limits.finalists, limits.deadline)
        self._seen = {
            record.plan: record for record in ledger.records.values() if record.plan not in again
        }
        self._running: dict[str, RunningTrial] = {}
        self._losses: dict[Plan, Losses] = {}
        self._explanations: dict[str, str] = {}
        self.exhausted = False
        """Whether every plan of the space that may keep the bounds has been tried."""
        done = len(ledger.records)
        self._random, self._turn = random.Random(seed + done), done
        # A resumed search has another seed, or the sampler would repeat itself.
        self._journal = Journal(journal, sources.space, ledger, (seed + 1_000_003 * done) % 2**31)
        planned = [] if sources.planner is None else [PlannerSource(sources.planner)]
        self._sources: list[PlanSource] = [
            *planned,
            OptunaSource(self._journal, self._seen.get, sources.exceeded()),
            RandomSource(sources.space, sources.exceeded()),
        ]
        judges = [] if sources.judge in (None, sources.planner) else [sources.judge]
        self._learners: list[PlanSource | Planner] = [*self._sources, *judges]
        self._learn(ledger.known())
        self._queue = deque(self._first_proposals(sources, again))
        self._lost: deque[Proposal] = deque()
        """Trials whose workers were lost, to be started again."""

    def _learn(self, known: Sequence[Known]) -> None:
        for learner in self._learners:
            learner.learn(known)

    def _first_proposals(self, sources: Sources, again: Collection[Plan]) -> list[Proposal]:
        """Return what is tried before any source is asked: warm starts that nobody has tried, those
        that failed in an earlier run, and the plans that a crash interrupted."""
        interrupted = [Proposal(plan, origin, n) for n, plan, origin in self._journal.interrupted]
        running = {proposal.plan for proposal in interrupted}
        untried = [p for p in sources.first if p not in self._seen and p not in running]
        if sources.judge is not None:
            untried = [plan for plan in untried if not sources.judge.exceeded(plan)]
        plans = sorted(untried, key=lambda plan: plan in again)
        return [*(Proposal(plan, WARM_START) for plan in plans), *interrupted]

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of a plan to try or to train on, or FINISHED if there is none.

        None as long as the running trials decide what comes next.
        """
        proposal = self._lost.popleft() if self._lost else self._promotion() or self._new_plan()
        if proposal is None:
            return None if self._running else Searcher.FINISHED
        plan, number = proposal.plan, proposal.number
        if number is None:
            number = self._journal.begin(plan, proposal.origin)
        now = datetime.now(timezone.utc)
        self._running[trial_id] = RunningTrial(number, proposal, now)
        return {NUMBER: number, PLAN: plan_text(plan), LEVEL: proposal.level}

    @property
    def plans_tried(self) -> bool:
        """Whether it is time for the last promotions."""
        late = self.deadline is not None and self.deadline.is_closing()
        return late or self.exhausted or self._enough(len(self._ledger.records))

    @property
    def deadline(self) -> Deadline | None:
        """The deadline of the run; None without one."""
        return self._limits.deadline

    def closing(self) -> Closing:
        """Return what promotions may still take."""
        return self._promotions.expected()

    def running(self) -> list[tuple[int, float]]:
        """Return the level of every running trial, and the wall seconds since it started."""
        return [(trial.level, trial.age_s()) for trial in self._running.values()]

    @property
    def done(self) -> bool:
        """Whether there is nothing left to try or to promote."""
        if self._may_begin(len(self._ledger.records)):
            return False
        return self._promotions.next({}, closing=True) is None

    def _enough(self, tried: int) -> bool:
        return self._limits.trials is not None and tried >= self._limits.trials

    def _may_begin(self, tried: int) -> bool:
        """Return whether a plan may be tried beside those `tried`."""
        in_time = self.deadline is None or self.deadline.allows_plan(tried)
        return in_time and not self.exhausted and not self._enough(tried)

    def _promotion(self) -> Proposal | None:
        running = {t.number: t.level for t in self._running.values() if t.level > 0}
        closing = self.plans_tried
        record = self._promotions.next(running, closing=closing)
        if record is None:
            return None
        share = self._promotions.begin(record, closing=closing)
        return Proposal(record.plan, record.origin, record.number, record.level + 1, share)

    def _new_plan(self) -> Proposal | None:
        new = sum(trial.level == 0 for trial in self._running.values())
        if not self._may_begin(len(self._ledger.records) + new):
            return None
        proposal = self._queue.popleft() if self._queue else self._ask_sources()
        self.exhausted = proposal is None
        return proposal

    def _ask_sources(self) -> Proposal | None:
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
        if losses.times >= self._limits.retries:
            self.record_failure(trial_id, reason)
            return
        losses.times += 1
        losses.seconds += running.age_s()
        del self._running[trial_id]
        self._lost.append(replace(running.proposal, number=running.number))

    def _finish(self, trial_id: str, result: TrialResult) -> None:
        running = self._running.pop(trial_id)
        losses = self._losses.pop(running.plan, Losses())
        record = TrialRecord(
            number=running.number,
            plan=running.plan,
            origin=running.proposal.origin,
            result=result,
            started_at=running.started_at,
            wall_s=running.age_s(),
            retries=losses.times,
            lost_s=losses.seconds,
            closing_fidelity=running.proposal.closing_fidelity,
        )
        if running.level:
            record = continued(self._ledger.records[running.number], record)
        # On disk before the journal is told: a crash in between is replayed, not lost.
        self._ledger.record(record)
        self._seen[record.plan] = record
        if not running.level:
            self._journal.tell(running.number, record)
        elif record.result.state == "COMPLETE":
            self._journal.promoted(record)
        self._learn(self._ledger.known_of([record]))

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
