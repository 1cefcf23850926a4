"""A search on a tabulated problem whose levels take simulated seconds: nothing waits."""

import heapq
import logging

from benchmarks.growth import InMemory
from benchmarks.methods import planner_of
from benchmarks.tabulated import Tabulated
from search.records.ledger import Ledger
from search.schedule.deadline import Deadline, Pace
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from tests.search.tune.tabulated import JOURNAL, plan_of, reported
from trainables.levels import training_levels
from trainables.trainable import LEVEL

CONFIDENCE_Z = 1.64


def tabulated(budget, config, baseline, seed=0):
    """Return a problem with the levels of a configuration; its losses do not depend on `budget`."""
    fidelities = tuple(level.fidelity for level in training_levels(config, baseline))
    table = Tabulated(seed, budget=budget, fidelities=fidelities)
    table._worth *= Tabulated.budget / budget
    return table


class TabulatedSearch:
    """The search of a configuration, on workers that need `levels` for each level of a plan."""

    def __init__(self, folder, table, config, levels, workers, *, slower=1.0, ends=None):
        """`ends` are the seconds until a deadline and those that the end of the run needs;
        trainings take `slower` times what `levels` say."""
        setup = table.setup(config.seed)
        self.ledger = Ledger(
            InMemory(folder),
            table.budget,
            table.space.groups,
            fidelities=table.fidelities,
            confidence_z=CONFIDENCE_Z,
        )
        planner = planner_of(setup, fidelity=self.ledger.fidelity, confidence_z=CONFIDENCE_Z)
        self.first = planner.warm_starts()
        self.now, self.trained = 0.0, [0] * len(levels)
        self.deadline = None
        if ends is not None:
            self.deadline = Deadline(
                lambda: ends[0] - self.now,
                Pace(levels, self.ledger),
                len(levels),
                end_s=ends[1],
                finalists=config.finalists,
                at_once=workers,
            )
        limits = Limits(config.trials, finalists=config.finalists, deadline=self.deadline)
        sources = Sources(table.space, planner, self.first)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self.searcher = PlanSearcher(
            sources, self.ledger, folder / JOURNAL, config.seed, limits=limits
        )
        self._table, self._levels, self._workers = table, levels, workers
        self._running, self._slower, self.busy_s = [], slower, 0.0

    @property
    def may_end_early(self):
        """Whether the most pruned plan is among the first."""
        return any(map(self._table.space.is_floor, self.first))

    def running(self):
        """Return the level of every running trial and its seconds so far."""
        return [(level, self.now - began) for *_, level, _, began in self._running]

    def run(self, watch=lambda: None):
        """Run the search to its end; return its seconds. `watch` is called after every level."""
        running, turn = self._running, 0
        while True:
            while len(running) < self._workers:
                asked = self.searcher.suggest(f"t{turn}")
                if not isinstance(asked, dict):
                    break
                plan, level = plan_of(asked), asked[LEVEL]
                seconds = self._levels[level]
                training_s = seconds.training_s(float(plan.quantization.is_trained))
                training_s *= self._slower * plan.is_pruned
                self.trained[level] += plan.is_pruned
                ends = self.now + training_s + seconds.other_s
                self.busy_s += ends - self.now
                heapq.heappush(running, (ends, turn, plan, level, training_s, self.now))
                turn += 1
            if not running:
                return self.now
            self.now, ended, plan, level, training_s, _ = heapq.heappop(running)
            # The unpruned model needs no training.
            result = self._table.evaluate(plan, level=level if plan.is_pruned else None)
            result.seconds.update(finetune=training_s, export=self._levels[level].other_s)
            self.searcher.on_trial_complete(f"t{ended}", reported(result))
            watch()
