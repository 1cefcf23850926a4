"""Where the plans of a search come from: three sources, asked in turn, and the plans to begin with.

The planner is spaces/planning/planner.py; it proposes where its models promise a gain. Where it has
nothing, Optuna samples the whole space, and where Optuna repeats itself, plans are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from search.config import RunConfig
from search.records.ledger import Ledger
from search.records.search_space import reference_timings
from search.records.trial_record import TrialRecord
from search.tune.journal import PATIENCE, SAMPLED, Exceeded, Journal
from spaces.heuristics import Sensitivities, warm_starts
from spaces.mixing import Int8Costs
from spaces.plan import Plan
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from spaces.space import Space
from trainables.results import Baseline

Timings = Sequence[tuple[Plan, float]]
IsTried = Callable[[Plan], bool]

PROPOSED, WARM_START = "proposed", "warm_start"

# Draws in a row that may repeat plans before the space counts as exhausted: a guess. If one plan in
# fifty is untried, they miss it once in sixty times.
DRAWS = 200


@dataclass(frozen=True)
class Proposal:
    """A plan to try next."""

    plan: Plan
    origin: str
    number: int | None = None
    """Of its trial, if the journal has it already."""
    level: int = 0
    """Of training; above 0 the trial is promoted."""
    closing_fidelity: float = 0.0
    """Of the level, if it is a promotion after the last plan: see `TrialRecord`."""


class PlanSource(Protocol):
    """Proposes plans that nobody has tried."""

    def propose(self, turn: int, is_tried: IsTried, rng: Random) -> Proposal | None:
        """Return an untried plan, None if this source has none."""
        ...

    def learn(self, known: Sequence[Known]) -> None:
        """Take in trials that have been measured, or promoted, since the last call."""
        ...


class PlannerSource:
    """The planner's proposals: optima, neighbours and fillings, in turn."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def propose(self, turn: int, is_tried: IsTried, rng: Random) -> Proposal | None:
        plan = self._planner.propose(turn, is_tried, rng)
        return None if plan is None else Proposal(plan, PROPOSED)

    def learn(self, known: Sequence[Known]) -> None:
        self._planner.learn(known)


class OptunaSource:
    """Optuna's samples of the whole space: every group's channels, and the precision."""

    def __init__(
        self,
        journal: Journal,
        finished: Callable[[Plan], TrialRecord | None],
        exceeded: Exceeded | None = None,
    ) -> None:
        """`finished` returns the finished trial that had a plan, None without one."""
        self._journal, self._finished, self._exceeded = journal, finished, exceeded

    def propose(self, turn: int, is_tried: IsTried, rng: Random) -> Proposal | None:
        for _ in range(PATIENCE):
            sampled = self._journal.sample(self._exceeded)
            if sampled is None:
                return None
            number, plan = sampled
            record = self._finished(plan)
            if record is not None:
                self._journal.repeat(number, record)
            elif is_tried(plan):
                # The trial that runs with this plan will be told.
                self._journal.drop(number)
            else:
                return Proposal(plan, SAMPLED, number)
        return None

    def learn(self, known: Sequence[Known]) -> None:
        """Nothing: the journal is told of every trial."""


class RandomSource:
    """Plans of the space, each as likely as any other.

    One that is predicted to exceed a bound is pruned further until it keeps it.
    """

    def __init__(self, space: Space, exceeded: Exceeded | None = None) -> None:
        self._space, self._exceeded = space, exceeded

    def propose(self, turn: int, is_tried: IsTried, rng: Random) -> Proposal | None:
        for _ in range(DRAWS):
            plan = self._within(self._space.random(rng), rng)
            if plan is not None and not is_tried(plan):
                return Proposal(plan, SAMPLED)
        return None

    def _within(self, plan: Plan, rng: Random) -> Plan | None:
        """Return the plan with the fewest channels in as many groups, in a random order, as it
        takes to keep the bounds; None if it takes more than all. Branches are removed last.
        """
        if self._exceeded is None or not self._exceeded(plan):
            return plan
        space, ratios = self._space, dict(plan.ratios)
        order = rng.sample(space.groups, len(space.groups))
        for group in sorted(order, key=lambda group: group.is_branch):
            ratios[group.name] = space.most_pruned(group)
            narrowed = space.snap(Plan.of(ratios, plan.precisions))
            if not self._exceeded(narrowed):
                return narrowed
        return None

    def learn(self, known: Sequence[Known]) -> None:
        """Nothing: chance does not learn."""


def is_planned(config: RunConfig, space: Space) -> bool:
    """Return whether a planner chooses plans; it needs latencies to predict all others from."""
    return config.sampler == "knapsack" and bool(space.groups)


@dataclass(frozen=True)
class Sources:
    """What a searcher is given to choose plans with."""

    space: Space
    planner: Planner | None = None
    """None: Optuna chooses."""
    first: Sequence[Plan] = ()
    """The plans to begin with."""
    judge: Planner | None = None
    """Predicts which plans exceed a bound: they are not tried. It may be the planner. None: there
    is no bound, or nothing to predict from."""

    def exceeded(self) -> Exceeded | None:
        """Return what predicts by how much a plan exceeds bounds, None without a judge."""
        return None if self.judge is None else self.judge.exceeded


def plan_sources(
    config: RunConfig,
    space: Space,
    baseline: Baseline,
    sensitivities: Sensitivities,
    timings: Timings | None,
    ledger: Ledger,
    int8: Int8Costs | None = None,
) -> Sources:
    """Return what chooses the plans of a study, within the ledger's predictions of losses.

    Without timings there is no planner; the references are enough to judge by.
    """
    bounded = bool(ledger.goal.bounds() and space.groups and baseline.layers)
    if timings is None and not bounded:
        return Sources(space, None, warm_starts(space, sensitivities, config.budget))
    planner = Planner(
        space,
        baseline.layers,
        sensitivities,
        reference_timings(baseline, space) if timings is None else timings,
        config.budget,
        fidelity=ledger.fidelity,
        confidence_z=config.confidence_z,
        goal=ledger.goal,
        int8=int8,
    )
    judge = planner if bounded else None
    if timings is None:
        return Sources(space, None, warm_starts(space, sensitivities, config.budget), judge)
    return Sources(space, planner, planner.warm_starts(), judge)
