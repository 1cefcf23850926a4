"""The searcher with the planner, on a tabulated problem: it proposes, learns, survives crashes."""

import json
import random
from itertools import count

import pytest
from optuna.trial import TrialState

from benchmarks.tabulated import Tabulated
from search.records.ledger import Ledger
from search.records.tables import Store
from search.tune.journal import CONSTRAINT
from search.tune.journal_file import ORIGIN, REPEATS
from search.tune.plan_source import Sources
from search.tune.searcher import PlanSearcher
from spaces.layers import Layer
from spaces.plan import PruningGroup, QuantizationChoice
from spaces.planning.known import Known
from spaces.planning.planner import Planner
from spaces.space import Space
from tests.search.tune.tabulated import JOURNAL, drive, plan_of, reported
from trainables.results import TrialResult
from trainables.trainable import NUMBER

PROBLEM = Tabulated(0)
SETUP = PROBLEM.setup(0)


class KilledError(Exception):
    """Stands for the driver's death: nothing after it happens."""


def killed(*arguments, **keywords):
    raise KilledError


@pytest.fixture
def open_planned(tmp_path):
    """Open the searcher of a folder with a planner of its own, as every process has."""

    def make(seed=0, folder=tmp_path, budget=SETUP.budget):
        folder.mkdir(exist_ok=True)
        store = Store(folder)
        store.create()
        ledger = Ledger.load(store, budget, SETUP.space.groups)
        planner = Planner(SETUP.space, SETUP.layers, SETUP.sensitivities, SETUP.timings, budget)
        sources = Sources(SETUP.space, planner, planner.warm_starts())
        return PlanSearcher(sources, ledger, folder / JOURNAL, seed)

    return make


def planner_of(searcher):
    return searcher._sources[0]._planner


def records_of(searcher):
    return [searcher._ledger.records[number] for number in sorted(searcher._ledger.records)]


def waiting_in(searcher):
    return len(searcher._queue)


def lost(searcher, origin):
    """Run trials until one of this origin is asked for; return it and its trial."""
    for _ in range(20):
        suggestion = searcher.suggest("lost")
        trial = searcher.optuna_trials[suggestion[NUMBER]]
        if trial.user_attrs.get(ORIGIN, "sampled") == origin:
            return suggestion, trial
        searcher.on_trial_complete("lost", reported(PROBLEM.evaluate(plan_of(suggestion))))
    raise AssertionError(f"no plan was {origin}")


def test_the_same_seed_gives_the_same_plans(open_planned, tmp_path):
    one = drive(open_planned(3, tmp_path / "one"), 20, PROBLEM.evaluate)
    again = drive(open_planned(3, tmp_path / "again"), 20, PROBLEM.evaluate)
    other = drive(open_planned(4, tmp_path / "other"), 20, PROBLEM.evaluate)
    assert one == again
    assert one != other


def test_warm_starts_come_first_then_proposals(open_planned):
    searcher = open_planned()
    first = planner_of(searcher).warm_starts()
    plans = drive(searcher, len(first) + 12, PROBLEM.evaluate)
    assert plans[: len(first)] == first
    assert len(set(plans)) == len(plans)
    assert all(SETUP.space.snap(plan) == plan for plan in plans)
    origins = [record.origin for record in records_of(searcher)]
    assert origins[: len(first)] == ["warm_start"] * len(first)
    assert origins[len(first) :] == ["proposed"] * 12


def test_a_search_ends_with_better_plans_than_it_began_with(open_planned):
    searcher = open_planned()
    first = len(planner_of(searcher).warm_starts())
    drive(searcher, 20, PROBLEM.evaluate)
    feasible = searcher._ledger.feasible()
    start = min(r.result.latency_ratio for r in feasible if r.number < first)
    assert min(r.result.latency_ratio for r in feasible) < 0.95 * start


def test_optuna_is_told_of_proposals_under_the_channels_they_have(open_planned):
    searcher = open_planned()
    drive(searcher, 15, PROBLEM.evaluate)
    by_number = {record.number: record for record in records_of(searcher)}
    proposed = [t for t in searcher.optuna_trials if t.user_attrs[ORIGIN] == "proposed"]
    assert proposed
    for trial in proposed:
        record = by_number[trial.number]
        assert json.loads(trial.user_attrs["plan"]) == record.plan.to_json()
        assert trial.values == [record.result.metric_loss, record.result.latency_ratio]
        assert trial.constraints == {CONSTRAINT: record.result.metric_loss - SETUP.budget}
        assert SETUP.space.decode(trial.params) == record.plan


def test_the_planner_learns_from_measured_trials_alone(open_planned, monkeypatch):
    searcher, learnt = open_planned(), []
    monkeypatch.setattr(planner_of(searcher), "learn", lambda known: learnt.extend(known))
    (plan,) = drive(searcher, 1, PROBLEM.evaluate)
    expected = PROBLEM.evaluate(plan)
    figures = (expected.metric_loss, expected.latency_ratio, 1.0, expected.standard_error)
    assert learnt == [Known(plan, *figures)]
    drive(searcher, 1, lambda plan: TrialResult("FAILED", reason="diverged"))
    drive(searcher, 1, lambda plan: TrialResult("RUNNING", latency_ratio=0.5))
    assert len(learnt) == 1


def test_after_a_crash_the_planner_knows_what_it_knew(open_planned):
    searcher = open_planned()
    plans = drive(searcher, 12, PROBLEM.evaluate)
    resumed = open_planned()
    before, after = planner_of(searcher).predict(plans), planner_of(resumed).predict(plans)
    assert after[0] == pytest.approx(before[0])
    assert after[1] == pytest.approx(before[1])


@pytest.mark.parametrize("origin", ["warm_start", "proposed"])
def test_a_lost_trial_is_asked_for_again_as_the_same_plan(open_planned, origin):
    suggestion, trial = lost(open_planned(), origin)
    resumed = open_planned()
    assert resumed.optuna_trials[suggestion[NUMBER]].state == TrialState.RUNNING
    # Behind the warm starts that are still to come.
    plans = drive(resumed, waiting_in(resumed), PROBLEM.evaluate)
    assert plans[-1] == plan_of(suggestion)
    again = resumed._ledger.records[suggestion[NUMBER]]
    assert again.plan == plan_of(suggestion)
    assert again.origin == origin
    assert again.number == suggestion[NUMBER]
    assert resumed.optuna_trials[again.number].params == trial.params


@pytest.mark.parametrize("seed", range(3))
def test_crashes_at_any_time_lose_nothing_and_double_nothing(open_planned, monkeypatch, seed):
    """Two trials run at a time, and the driver dies every few steps."""
    dice, names, trials = random.Random(seed), count(), 16
    searcher, running, asked = open_planned(seed), [], set()

    def complete_first():
        trial_id, suggestion = running.pop(0)
        searcher.on_trial_complete(trial_id, reported(PROBLEM.evaluate(plan_of(suggestion))))

    crashes = 0
    while len(searcher._ledger.records) < trials:
        fate = dice.random()
        if fate < 0.1:
            searcher, running, crashes = open_planned(seed), [], crashes + 1
        elif fate < 0.2 and running:
            # This time between the row and the telling.
            monkeypatch.setattr(searcher._journal.study, "tell", killed)
            with pytest.raises(KilledError):
                complete_first()
            searcher, running, crashes = open_planned(seed), [], crashes + 1
        elif len(running) == 2:
            complete_first()
        else:
            name = f"trial-{next(names)}"
            running.append((name, searcher.suggest(name)))
            asked.add(plan_of(running[-1][1]))
    assert crashes > 0
    # What was asked for and lost comes to its end now.
    searcher = open_planned(seed)
    drive(searcher, waiting_in(searcher), PROBLEM.evaluate)

    records = searcher._ledger.records
    plans = [record.plan for record in records.values()]
    assert len(set(plans)) == len(plans) >= trials
    assert asked <= set(plans)
    new = open_planned(seed, searcher._ledger.store.folder / "new")
    first = set(planner_of(new).warm_starts())
    assert {r.plan for r in records.values() if r.origin == "warm_start"} == first
    for trial in searcher.optuna_trials:
        assert trial.state not in (TrialState.RUNNING, TrialState.WAITING)
        if trial.number in records:
            assert trial.state == TrialState.COMPLETE
            result = records[trial.number].result
            assert trial.values == [result.metric_loss, result.latency_ratio]
        elif trial.state == TrialState.COMPLETE:
            assert trial.user_attrs[REPEATS] in records


def test_a_small_space_is_searched_to_its_last_plan(tmp_path):
    """The planner proposes a part of it only; a search may not end there."""
    groups = (PruningGroup("conv1.weight", 16), PruningGroup("conv2.weight", 32))
    layers = (
        Layer("conv1", 28_224, 3_136, 16, 1, {"conv1.weight": 1.0}, {}),
        Layer("conv2", 225_792, 1_568, 32, 16, {"conv2.weight": 1.0}, {"conv1.weight": 1.0}),
        Layer("head", 320, 10, 10, 32, {}, {"conv2.weight": 1.0}),
    )
    space = Space(groups, (QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ))
    curves = {
        "conv1.weight": [(0.5, 0.2)],
        "conv2.weight": [(0.25, 0.05), (0.5, 0.1), (0.75, 0.3)],
    }

    def evaluate(plan):
        first, second = plan.ratio("conv1.weight"), plan.ratio("conv2.weight")
        slow = 0.5 if plan.quantization is QuantizationChoice.INT8_PTQ else 1.0
        loss, ratio = 0.1 * first + 0.1 * second**2, slow * (1 - 0.6 * first) * (1 - 0.5 * second)
        return TrialResult("COMPLETE", metric=0.9, metric_loss=loss, latency_ratio=ratio)

    store = Store(tmp_path)
    store.create()
    planner = Planner(space, layers, curves, [], 0.1)
    ledger = Ledger(store, 0.1, groups)
    sources = Sources(space, planner, planner.warm_starts())
    searcher = PlanSearcher(sources, ledger, tmp_path / JOURNAL, 0)
    plans = drive(searcher, 20, evaluate)
    assert len(set(plans)) == len(plans) == 2 * 4 * 2


@pytest.mark.parametrize("budget", [0.0, 1e-12, 1e-3])
def test_a_budget_of_nothing_is_searched_as_any_other(open_planned, tmp_path, budget):
    """Training may make up for a little pruning: such plans are looked for near no loss."""
    feasible = 0
    for seed in range(3):
        searcher = open_planned(seed, tmp_path / str(seed), budget)
        plans = drive(searcher, 24, PROBLEM.evaluate)
        assert len(set(plans)) == 24
        assert sum(plan.is_pruned for plan in plans) > 12
        losses = [record.result.metric_loss for record in searcher._ledger.complete()]
        assert sorted(losses)[12] < 0.02, "most plans are looked for where they may keep it"
        feasible += len(searcher._ledger.feasible())
    # In a single search the noise of the losses may leave none.
    assert feasible
