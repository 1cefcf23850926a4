"""Searches with and without levels of training, at equal compute, on tabulated problems.

python -m benchmarks.promoted [--problems N] [--seeds N] [--compute TRAININGS] [--methods NAME ...]

Compute is counted in trainings in full. What counts is the fastest plan that was trained in full
and keeps the budget with its margin: the one that would be delivered.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pandas as pd

from benchmarks.methods import planner_of
from benchmarks.tabulated import KINDS, Tabulated, tabulated
from spaces.plan import Plan
from spaces.planning.fidelity import FidelityModel
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from spaces.planning.promise import promises
from spaces.planning.settings import DEFAULT_SETTINGS, PlannerSettings

# Defaults: problems of each kind, seeds, trainings in full of one search. Guesses.
PROBLEMS, SEEDS, COMPUTE = 8, 2, 6.0
# Of every measurement beside its training: export, evaluation, probe. A trial of the built-in
# problem spends 7 s on them, a training in full about 150 s.
OVERHEAD = 0.05
# Standard errors between a loss and the budget: the default of `confidence_z`.
CONFIDENCE_Z = 1.0
# Of this many plans at a level one is promoted (ASHA; Li et al., 2020).
REDUCTION = 3
# Share of the compute that is left to promotions when no more plans are proposed. A guess.
CLOSING = 0.35


@dataclass
class Run:
    """One search on one problem: its measurements so far, and the compute that is left."""

    problem: Tabulated
    seed: int
    left: float
    known: dict[Plan, Known] = field(default_factory=dict)
    levels: dict[Plan, int] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return len(self.problem.fidelities) - 1

    def cost(self, plan: Plan, level: int) -> float:
        """Return the compute of training a plan from where it stands to the end of a level, with
        the measurements on the way."""
        if plan not in self.known:
            return self.problem.fidelities[level] + OVERHEAD
        trained = self.problem.fidelities[level] - self.known[plan].fidelity
        return trained + OVERHEAD * (level - self.levels[plan])

    def can(self, plan: Plan, level: int) -> bool:
        return self.cost(plan, level) <= self.left + 1e-9

    def train(self, plan: Plan, level: int) -> Known:
        """Train a plan to the end of a level, and return what is measured."""
        self.left -= self.cost(plan, level)
        found = self.problem.evaluate(plan, self.seed, level)
        assert found.metric_loss is not None and found.latency_ratio is not None
        self.levels[plan] = level
        self.known[plan] = Known(
            plan,
            found.metric_loss,
            found.latency_ratio,
            self.problem.fidelities[level],
            found.standard_error or 0.0,
        )
        return self.known[plan]

    def kept(self) -> list[Known]:
        """Return the plans trained in full that keep the budget with its margin, the fastest
        first."""
        budget = self.problem.budget
        found = [
            one
            for one in self.known.values()
            if one.fidelity == 1 and one.metric_loss + CONFIDENCE_Z * one.standard_error <= budget
        ]
        return sorted(found, key=lambda one: one.latency_ratio)

    def best(self) -> float:
        """Return the fastest one's latency ratio, 1 without one."""
        return min((one.latency_ratio for one in self.kept()), default=1.0)


class _Plans:
    """New plans, warm starts first, from a planner that is told of every measurement."""

    def __init__(self, run: Run, planner: Planner) -> None:
        self._run, self._planner = run, planner
        self._first, self._turn = planner.warm_starts()[::-1], 0
        self._random = Random(run.seed)

    def next(self) -> Plan:
        if self._first:
            return self._first.pop()
        self._turn += 1
        tried = self._run.known.__contains__
        plan = self._planner.propose(self._turn, tried, self._random)
        while plan is None or tried(plan):
            plan = self._run.problem.space.random(self._random)
        return plan


def _planner(run: Run, settings: PlannerSettings, fidelity: FidelityModel | None) -> Planner:
    setup = run.problem.setup(run.seed)
    return planner_of(setup, settings, fidelity=fidelity, confidence_z=CONFIDENCE_Z)


def in_full(run: Run) -> None:
    """Every plan is trained in full."""
    planner = _planner(run, DEFAULT_SETTINGS, None)
    plans = _Plans(run, planner)
    while run.left >= 1 + OVERHEAD:
        planner.learn([run.train(plans.next(), run.last)])


def as_before(run: Run) -> None:
    """Plans are judged by the loss of their short training; the fastest are then trained in full.

    The budget is that of the short training, so most of it is left over.
    """
    planner, closing = _planner(run, DEFAULT_SETTINGS, None), CLOSING * run.left
    plans = _Plans(run, planner)
    while run.left > closing:
        planner.learn([run.train(plans.next(), 0)])
    ranked = sorted(run.known.values(), key=lambda one: one.latency_ratio)
    for one in [one for one in ranked if one.metric_loss <= run.problem.budget]:
        if not run.can(one.plan, run.last) or run.kept():
            return
        run.train(one.plan, run.last)


def promoted(
    run: Run,
    settings: PlannerSettings = DEFAULT_SETTINGS,
    *,
    learns: bool = True,
    early: bool = True,
) -> None:
    """Plans begin with the first level, and the most promising are trained on.

    Without `learns` the shares that levels leave stay the first guess; without `early` no plan is
    promoted before the last one has been proposed.
    """
    fidelity = FidelityModel(run.problem.fidelities, run.problem.budget, settings.fidelity)
    planner, closing = _planner(run, settings, fidelity), CLOSING * run.left
    plans = _Plans(run, planner)

    def train_on(plan: Plan) -> None:
        before = run.known[plan]
        after = run.train(plan, run.levels[plan] + 1)
        if learns:
            fidelity.learn(
                (before.fidelity, before.metric_loss), (after.fidelity, after.metric_loss)
            )
        planner.learn([after])

    while run.left > closing:
        plan = _due(run, fidelity) if early else None
        if plan is not None:
            train_on(plan)
        else:
            planner.learn([run.train(plans.next(), 0)])
    while (plan := _most_promising(run, fidelity, list(run.known))) is not None:
        train_on(plan)


def _due(run: Run, fidelity: FidelityModel) -> Plan | None:
    """Return the most promising plan of the highest level that is due a promotion."""
    reached = [sum(level >= k for level in run.levels.values()) for k in range(run.last + 1)]
    for level in range(run.last - 1, -1, -1):
        if reached[level] // REDUCTION > reached[level + 1]:
            at = [plan for plan, done in run.levels.items() if done == level]
            return _most_promising(run, fidelity, at)
    return None


def _most_promising(run: Run, fidelity: FidelityModel, plans: list[Plan]) -> Plan | None:
    """Return the plan, of those that can still be trained in full, that promises most; None if
    none promises anything."""
    able = [plan for plan in plans if run.levels[plan] < run.last and run.can(plan, run.last)]
    if not able:
        return None
    known = [run.known[plan] for plan in able]
    chances = fidelity.chance(
        np.array([one.fidelity for one in known]),
        np.array([one.metric_loss for one in known]),
        CONFIDENCE_Z * np.array([one.standard_error for one in known]),
        run.problem.budget,
    )
    gains = promises(np.array([one.latency_ratio for one in known]), chances, run.best())
    best = int(np.argmax(gains))
    return able[best] if gains[best] > 0 else None


METHODS: dict[str, Callable[[Run], None]] = {
    "promoted": promoted,
    "in full": in_full,
    "as before": as_before,
    "without learning what levels leave": lambda run: promoted(run, learns=False),
    "without early promotions": lambda run: promoted(run, early=False),
}


def searched(problem: str, method: str, seed: int, compute: float) -> Run:
    """Return a finished search."""
    run = Run(tabulated(problem), seed, compute)
    METHODS[method](run)
    return run


def compare(
    problems: list[str], methods: list[str], seeds: int, compute: float = COMPUTE
) -> pd.DataFrame:
    """Return a row per problem, method and seed: `latency_ratio` of what would be delivered,
    `true_use` (its noiseless loss / budget), `plans` and `trained` (in full), both counts."""
    rows = []
    for problem in problems:
        for seed in range(seeds):
            for method in methods:
                run = searched(problem, method, seed, compute)
                kept, table = run.kept(), run.problem
                rows.append(
                    {
                        "problem": problem,
                        "method": method,
                        "seed": seed,
                        "latency_ratio": run.best(),
                        "true_use": table.true_loss(kept[0].plan) / table.budget if kept else 0.0,
                        "plans": len(run.known),
                        "trained": sum(one.fidelity == 1 for one in run.known.values()),
                    }
                )
    return pd.DataFrame(rows)


def table(found: pd.DataFrame, against: str = "promoted") -> str:
    """Return a markdown table; latencies are compared in pairs of equal problem and seed."""
    lines = [
        "| problems | method | pairs | latency, against promoted | budget use, median | plans "
        "| trained in full |\n| --- | --- | --- | --- | --- | --- | --- |"
    ]
    found = found.assign(
        log=np.log(found["latency_ratio"]),
        kind=found["problem"].str.replace(r"-\d+$", "", regex=True),
    )
    key = ["problem", "seed"]
    whole = found[found["method"] == against].set_index(key)["log"]
    for (kind, method), rows in found.groupby(["kind", "method"], sort=False):
        pairs = rows.set_index(key)["log"]
        pairs = 100 * (pairs - whole.reindex(pairs.index)).to_numpy()
        error = pairs.std(ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else float("nan")
        lines.append(
            f"| {kind} | {method} | {len(pairs)} | {pairs.mean():+.1f} ± {error:.1f} % "
            f"| {rows['true_use'].median():.2f} | {rows['plans'].mean():.0f} "
            f"| {rows['trained'].mean():.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=PROBLEMS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--compute", type=float, default=COMPUTE)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    chosen = parser.parse_args()
    names = [f"{kind}-{number}" for kind in KINDS for number in range(chosen.problems)]
    print(table(compare(names, chosen.methods, chosen.seeds, chosen.compute)))


if __name__ == "__main__":
    main()
