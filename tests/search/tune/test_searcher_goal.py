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
from spaces.plan import Plan
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


def judged(goal, folder, *, planned):
    """Open a searcher whose plans are judged by the planner's models; `planned`: it proposes
    too."""
    folder.mkdir()
    store = Store(folder)
    store.create()
    ledger = Ledger.load(store, SETUP.budget, SETUP.space.groups, SETUP.layers, goal=goal)
    given = (SETUP.layers, SETUP.sensitivities, SETUP.timings, SETUP.budget)
    planner = Planner(SETUP.space, *given, goal=goal)
    first = [Plan.of({}, choice) for choice in SETUP.space.choices]
    sources = Sources(SETUP.space, planner if planned else None, first, planner)
    return PlanSearcher(sources, ledger, folder / JOURNAL, 0), ledger


def unjudged(goal, folder):
    folder.mkdir()
    store = Store(folder)
    store.create()
    ledger = Ledger.load(store, SETUP.budget, SETUP.space.groups, SETUP.layers, goal=goal)
    return PlanSearcher(Sources(SETUP.space), ledger, folder / JOURNAL, 0), ledger


# A tenth of random plans keep neither.
TIGHT = Goal(max_latency=BOUND, max_size=0.06, baseline_bytes=WHOLE)


@pytest.mark.parametrize("planned", [False, True])
def test_no_trial_is_spent_on_a_plan_that_is_predicted_to_exceed_a_bound(tmp_path, planned):
    searcher, ledger = judged(TIGHT, tmp_path / "judged", planned=planned)
    drive(searcher, 16, evaluated)
    assert len(ledger.records) == 16
    for record in ledger.records.values():
        # Predictions have errors: of a few percent for latencies.
        assert record.result.latency_ratio <= 1.15 * BOUND
        assert record.result.size_bytes / WHOLE <= 1.05 * 0.06
    # What was refused is no trial: the numbers have no gaps.
    assert sorted(ledger.records) == list(range(16))
    other, free = unjudged(TIGHT, tmp_path / "unjudged")
    drive(other, 16, evaluated)
    exceeded = [r for r in free.records.values() if free.exceeded(r) is not None]
    assert len(exceeded) > 8


def test_where_sampling_finds_nothing_a_random_plan_is_narrowed(tmp_path, monkeypatch):
    monkeypatch.setattr("search.tune.journal.PATIENCE", 1)
    floors = [evaluated(SETUP.space.floor(choice)) for choice in SETUP.space.choices]
    least = min(floor.size_bytes for floor in floors) / WHOLE
    goal = Goal(max_size=1.1 * least, baseline_bytes=WHOLE)
    searcher, ledger = judged(goal, tmp_path / "run", planned=False)
    drive(searcher, 12, evaluated)
    assert len(ledger.records) == 12 and not searcher.exhausted
    sizes = {}
    for record in ledger.records.values():
        stored = record.plan.quantization.timed_as
        sizes.setdefault(stored, []).append(record.result.size_bytes / WHOLE)
    # The first export of a precision says what its program takes.
    later = [size for found in sizes.values() for size in found[1:]]
    assert len(later) >= 6 and max(later) <= 1.15 * least


def test_the_search_ends_if_no_plan_may_keep_the_bound(tmp_path):
    goal = Goal(max_size=1e-6, baseline_bytes=WHOLE)
    searcher, ledger = judged(goal, tmp_path / "run", planned=True)
    assert searcher.suggest("t") == searcher.FINISHED
    assert searcher.exhausted and not ledger.records and not searcher.optuna_trials


def test_a_judge_that_does_not_propose_learns_from_the_trials(tmp_path):
    searcher, _ = judged(TIGHT, tmp_path / "run", planned=False)
    (*_, judge) = searcher._learners
    before = judge._measured.taken_in
    drive(searcher, 3, evaluated)
    assert judge._measured.taken_in == before + 3
