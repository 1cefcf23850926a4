"""A whole search for the smallest model within a latency, on a tabulated problem."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tabulated import Tabulated
from search.records.ledger import Ledger
from search.records.prospects import Prospects
from search.records.tables import Store
from search.tune.plan_source import Sources
from search.tune.searcher import PlanSearcher
from spaces.goal import Goal
from spaces.layers import ratio_matrix
from spaces.planning.cost_model import size_model
from spaces.planning.planner import Planner
from tests.search.tune.tabulated import JOURNAL, drive

PROBLEM = Tabulated(0)
SETUP = PROBLEM.setup(0)
# Bytes of the unpruned export: most are weights.
WHOLE = 8_000_000
BOUND = 0.12


def evaluated(plan):
    """Return a plan's result with the size of its export."""
    ratios = ratio_matrix(SETUP.space.groups, [plan])
    quantized = plan.quantization.precision == "int8"
    model = size_model(PROBLEM.costs, WHOLE, quantized, ratios[:0], np.zeros(0))
    return replace(PROBLEM.evaluate(plan), size_bytes=round(WHOLE * model.predict(ratios)[0]))


@pytest.fixture
def open_aimed(tmp_path):
    """Open the searcher of a folder with a planner, both for one goal."""

    def make(goal, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        store = Store(folder)
        store.create()
        ledger = Ledger.load(store, SETUP.budget, SETUP.space.groups, SETUP.layers, goal=goal)
        given = (SETUP.layers, SETUP.sensitivities, SETUP.timings, SETUP.budget)
        planner = Planner(SETUP.space, *given, goal=goal)
        sources = Sources(SETUP.space, planner, planner.warm_starts())
        return PlanSearcher(sources, ledger, folder / JOURNAL, 0), ledger

    return make


def test_the_smallest_within_the_latency_is_found_and_survives_a_restart(open_aimed, tmp_path):
    goal = Goal("size", max_latency=BOUND, baseline_bytes=WHOLE)
    searcher, ledger = open_aimed(goal)
    drive(searcher, 24, evaluated)
    best, *_ = Prospects(ledger).kept()
    assert best.result.latency_ratio <= BOUND
    assert ledger.cost(best) == best.result.size_bytes / WHOLE
    fast = [r for r in ledger.records.values() if r.result.latency_ratio <= BOUND]
    assert len(fast) > len(ledger.records) / 2
    # The least latency alone leads to other models.
    other, unaimed = open_aimed(Goal(baseline_bytes=WHOLE), tmp_path / "latency")
    drive(other, 24, evaluated)
    fastest, *_ = Prospects(unaimed).kept()
    assert fastest.result.latency_ratio < best.result.latency_ratio
    assert fastest.result.size_bytes > best.result.size_bytes
    again, _ = open_aimed(goal)
    assert not again.rebuilt


def test_optuna_is_told_the_objective_and_the_bounds(open_aimed):
    goal = Goal("size", max_latency=BOUND, max_size=0.5, baseline_bytes=WHOLE)
    searcher, ledger = open_aimed(goal)
    drive(searcher, 8, evaluated)
    for trial in searcher.optuna_trials:
        result = ledger.records[trial.number].result
        assert trial.values == [result.metric_loss, result.size_bytes / WHOLE]
        assert trial.constraints["latency_within_bound"] == result.latency_ratio - BOUND
        assert trial.constraints["size_within_bound"] == result.size_bytes / WHOLE - 0.5
