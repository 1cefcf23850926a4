"""The time of a suggestion in a large study, and the busy share of 512 simulated workers."""

from __future__ import annotations

import heapq
import json
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.methods import planner_of
from benchmarks.promoted import CONFIDENCE_Z
from benchmarks.tabulated import Tabulated
from search.records.ledger import Ledger
from search.records.tables import Store
from search.records.trial_record import TrialRecord
from search.tune.journal_file import PLANNED, open_study, plan_text
from search.tune.plan_source import Sources
from search.tune.sampling import optuna_distributions
from search.tune.searcher import PlanSearcher
from spaces.plan import Plan
from spaces.planning.planner import Planner
from trainables.files.codec import encode
from trainables.levels import REDUCTION
from trainables.results import TrialResult
from trainables.trainable import LEVEL, PLAN, RESULT

GROUPS = 60
FINISHED = 10_000
WORKERS = 512
MEASURED = 1_500
# Median of a trial's simulated seconds, log-normal: most take a minute or two. A guess.
TRIAL_SECONDS = 90.0
# Standard deviation of their logarithm. A guess.
SPREAD = 0.6


class InMemory(Store):
    """Tables that are not written: the disk's share is measured in real runs."""

    def write(self, table, name, rows):
        pass


def _level(number: int, table: Tabulated) -> int:
    """Return the level that a trial was trained to: of REDUCTION at one, one has the next."""
    return next(
        level for level in range(len(table.fidelities))[::-1] if number % REDUCTION**level == 0
    )


def _ledger(folder: Path, table: Tabulated) -> Ledger:
    groups, fidelities = table.space.groups, table.fidelities
    return Ledger(
        *(InMemory(folder), table.budget, groups),
        fidelities=fidelities,
        confidence_z=CONFIDENCE_Z,
    )


def _grown(
    folder: Path, table: Tabulated, ledger: Ledger, planner: Planner, finished: int
) -> PlanSearcher:
    """Return a searcher with `finished` trials, most of them paused at a lower fidelity."""
    distributions = optuna_distributions(table.space.parameters())
    journal = folder / "optuna.journal"
    study = open_study(journal, distributions, 0)
    rng = np.random.default_rng(0)
    trials = []
    for number in range(finished):
        ratios = rng.uniform(0, 0.9) * rng.uniform(0.5, 1, GROUPS)
        choice = table.space.choices[rng.integers(len(table.space.choices))]
        named = zip((g.name for g in table.space.groups), ratios, strict=True)
        plan = table.space.snap(Plan.of({name: float(r) for name, r in named}, choice))
        result = table.evaluate(plan, level=_level(number, table))
        now = datetime.now(timezone.utc)
        ledger.records[number] = TrialRecord(number, plan, "sampled", result, now, 1.0)
        trials.append(
            optuna.trial.create_trial(
                params=table.space.encode(plan),
                distributions=distributions,
                user_attrs={PLANNED: plan_text(plan)},
                # Also one that was promoted: its last level is a trial of its own.
                state=TrialState.PRUNED,
            )
        )
    study.add_trials(trials)
    return PlanSearcher(Sources(table.space, planner), ledger, journal, 0)


def measure(
    finished: int = FINISHED, workers: int = WORKERS, measured: int = MEASURED
) -> dict[str, float]:
    """Return the workers' busy share and the milliseconds of suggestions: 95th percentile and
    median of all, 95th percentile of those that promote a trial (NaN if none did).

    The driver is one process: while it takes in a result and suggests the next plan (measured),
    workers whose trial has ended wait. The duration of trials is simulated.
    """
    table = Tabulated(seed=0, depth=GROUPS, width=16)
    setup = table.setup(0)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        ledger = _ledger(Path(folder), table)
        planner = planner_of(setup, fidelity=ledger.fidelity, confidence_z=CONFIDENCE_Z)
        searcher = _grown(Path(folder), table, ledger, planner, finished)
        suggestions_s: list[float] = []
        promotions_s: list[float] = []
        ends: list[tuple[float, str, Plan, int]] = []
        free, worked, started = 0.0, 0.0, 0

        def start(at: float) -> float:
            nonlocal started, worked
            begun = time.perf_counter()
            trial_id = str(started)
            suggestion = searcher.suggest(trial_id)
            spent = time.perf_counter() - begun
            suggestions_s.append(spent)
            duration = float(rng.lognormal(np.log(TRIAL_SECONDS), SPREAD))
            plan = Plan.from_json(json.loads(suggestion[PLAN]))
            level = int(suggestion[LEVEL])
            if level:
                promotions_s.append(spent)
            heapq.heappush(ends, (at + spent + duration, trial_id, plan, level))
            worked += duration
            started += 1
            return at + spent

        # All workers are busy when the clock starts: filling an empty cluster is not measured.
        for _ in range(workers):
            start(0.0)
        while started < workers + measured:
            end, trial_id, plan, level = heapq.heappop(ends)
            at = max(end, free)
            begun = time.perf_counter()
            result = table.evaluate(plan, level=level)
            searcher.on_trial_complete(trial_id, {RESULT: encode(TrialResult, result)})
            free = start(at + time.perf_counter() - begun)
        # Work after the last start has not been done yet.
        worked -= sum(max(0.0, end - free) for end, _, _, _ in ends)
        return {
            "suggest_p95_ms": 1e3 * float(np.percentile(suggestions_s, 95)),
            "suggest_median_ms": 1e3 * float(np.median(suggestions_s)),
            "promote_p95_ms": 1e3 * float(np.percentile(promotions_s or [np.nan], 95)),
            "simulated_busy": worked / (workers * free),
        }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
