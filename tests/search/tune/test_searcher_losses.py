"""The searcher when workers are lost, and when only the tables are left."""

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from tests.search.tune.tabulated import (
    JOURNAL,
    WARM_STARTS,
    drive,
    optuna_trial,
    plan_of,
    record_of,
    reported,
    tabulated,
)
from trainables.trainable import NUMBER


def test_a_plan_whose_worker_is_lost_is_begun_anew_and_counts_once(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS[:1], retries=2)
    first = searcher.suggest("a")
    searcher.note_loss("a", "the worker died")
    again = searcher.suggest("b")
    assert plan_of(again) == plan_of(first) == WARM_STARTS[0]
    assert again[NUMBER] == first[NUMBER]
    searcher.on_trial_complete("b", reported(tabulated(WARM_STARTS[0])))
    assert list(open_ledger().records) == [again[NUMBER]]
    recorded = record_of(open_ledger, again[NUMBER])
    assert recorded.origin == "warm_start"
    assert recorded.retries == 1
    assert recorded.lost_s >= 0
    assert optuna_trial(searcher, first[NUMBER]).state == TrialState.COMPLETE


def test_a_plan_that_loses_too_many_workers_has_failed(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS, retries=1)
    searcher.suggest("a")
    searcher.note_loss("a", "out of memory")
    # Before plans that nobody has begun.
    last = searcher.suggest("e")
    assert plan_of(last) == WARM_STARTS[0]
    searcher.note_loss("e", "out of memory")
    recorded = record_of(open_ledger, last[NUMBER])
    assert recorded.result.state == "FAILED"
    assert recorded.result.reason == "out of memory"
    assert recorded.retries == 1


def test_a_worker_that_dies_as_it_is_handed_a_trial_is_a_loss(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS[:1], retries=1)
    searcher.suggest("a")
    searcher.on_trial_complete("a", None)
    assert not open_ledger().records
    assert plan_of(searcher.suggest("b")) == WARM_STARTS[0]


def test_a_lost_trial_is_lost_once_whoever_says_so(open_searcher):
    searcher = open_searcher(retries=1)
    searcher.suggest("a")
    searcher.note_loss("a", "died")
    searcher.note_loss("a", "died")
    searcher.record_failure("a", "died")
    assert plan_of(searcher.suggest("b")) is not None


def test_as_many_as_asked_for_are_finished_whatever_is_lost(open_searcher, open_ledger):
    searcher = open_searcher(trials=3, retries=5)
    suggestions = {name: searcher.suggest(name) for name in "abc"}
    # Those that run may be enough.
    assert searcher.suggest("d") is None
    searcher.note_loss("b", "died")
    suggestions["e"] = searcher.suggest("e")
    assert plan_of(suggestions["e"]) == plan_of(suggestions["b"])
    assert searcher.suggest("f") is None
    for name in "ace":
        searcher.on_trial_complete(name, reported(tabulated(plan_of(suggestions[name]))))
    assert searcher.suggest("g") == Searcher.FINISHED
    assert len(open_ledger().records) == 3
    assert not searcher.exhausted


def test_a_resumed_search_finishes_what_is_left(open_searcher):
    drive(open_searcher(trials=5), 3)
    assert len(drive(open_searcher(trials=5), 9)) == 2


@pytest.mark.parametrize("gap", [False, True])
def test_without_its_journal_the_search_goes_on_from_the_tables(
    open_searcher, open_ledger, tmp_path, gap
):
    searcher = open_searcher(warm_starts=WARM_STARTS, retries=1)
    if gap:
        searcher.suggest("lost")
        searcher.note_loss("lost", "died")
    plans = drive(searcher, 9)
    before = {t.number: (t.state, t.values) for t in searcher.optuna_trials if t.values}
    (tmp_path / JOURNAL).unlink()
    carried_on = open_searcher(warm_starts=WARM_STARTS)
    after = {t.number: (t.state, t.values) for t in carried_on.optuna_trials if t.values}
    assert after == before
    more = drive(carried_on, 9)
    assert not set(more) & set(plans)
    assert len(open_ledger().records) == 18
