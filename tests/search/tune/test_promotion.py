"""Which plans are trained on, and that a promoted trial is one trial in every record."""

from dataclasses import replace

import pytest
from optuna.trial import TrialState

from search.records.prospects import Prospects
from search.schedule.forecast import Closing
from search.tune.journal_file import PROMOTES
from search.tune.promotion import Promotions
from tests.search.tune.tabulated import plan_of, reported
from trainables.levels import REDUCTION
from trainables.trainable import LEVEL, NUMBER

LEVELS = (1 / 16, 1 / 4, 1.0)
BUDGET = 0.1


@pytest.fixture
def paused(record, result):
    """Make the record of a trial that has been trained to a level, not the last."""

    def make(number, loss, ratio, level=0):
        found = result("PAUSED", loss, ratio, fidelity=LEVELS[level], level=level)
        return record(number, found)

    return make


@pytest.fixture
def ledger(open_ledger, paused):
    """Two plans that will hardly keep the budget, and one that will."""
    made = open_ledger(BUDGET, fidelities=LEVELS)
    for number, (loss, ratio) in enumerate([(0.9, 0.1), (0.1, 0.3), (0.8, 0.2)]):
        made.record(paused(number, loss, ratio))
    return made


def test_one_of_three_is_promoted_the_one_that_promises_most(ledger):
    promotions = Promotions(ledger, 0)
    assert promotions.next({}, closing=False).number == 1
    assert promotions.next({1: 1}, closing=False) is None


def test_the_highest_level_is_promoted_first(ledger, paused):
    for number in range(3, 3 + REDUCTION):
        ledger.record(paused(number, 0.1, 0.4, level=1))
    assert Promotions(ledger, 0).next({}, closing=False).result.level == 1


def test_what_is_slower_than_a_trial_that_keeps_the_budget_promises_nothing(ledger, record, result):
    ledger.record(record(9, result("COMPLETE", 0.05, 0.25)))
    promises = dict(zip((0, 1, 2), Prospects(ledger).promises(ledger.paused()), strict=True))
    assert promises[1] == 0
    promoted = Promotions(ledger, 0).next({}, closing=False)
    assert promoted is None or promoted.number != 1


def test_after_the_last_plan_promotions_are_paid_from_the_finalists_compute(ledger):
    promotions = Promotions(ledger, 1)
    levels = []
    for _ in range(2):
        record = promotions.next({}, closing=True)
        assert record.number == 1
        promotions.begin(record, closing=True)
        levels.append(record.result.level)
        record.result.level += 1
        record.result.fidelity = LEVELS[record.result.level]
    assert levels == [0, 1]
    # 15/16 of one training are spent: one sixteenth does not pay for a level of 3/16.
    record.result.state = "COMPLETE"
    assert promotions.next({}, closing=True) is None


def test_without_finalists_nothing_follows_the_last_plan(ledger):
    assert Promotions(ledger, 0).next({}, closing=True) is None


@pytest.fixture
def leveled(open_searcher):
    def make(**more):
        return open_searcher(fidelities=LEVELS, **more)

    return make


def drive(searcher, outcome, count=100):
    """Run a searcher one trial at a time; return the configurations that it suggested."""
    seen = []
    for turn in range(count):
        asked = searcher.suggest(f"t{turn}")
        if not isinstance(asked, dict):
            break
        seen.append(asked)
        searcher.on_trial_complete(f"t{turn}", reported(outcome(asked)))
    return seen


@pytest.fixture
def outcome(result, measurement):
    """The result of a level: the loss is halved by each."""

    def make(asked):
        level = asked[LEVEL]
        pruned = plan_of(asked).ratio("a")
        loss, ratio = 0.3 * pruned / 2**level, 1 - pruned / 2
        last = level == len(LEVELS) - 1
        return result(
            "COMPLETE" if last else "PAUSED",
            loss,
            ratio if level != 1 else None,
            [measurement(loss, rung=level, fidelity=LEVELS[level])],
            level=level,
            fidelity=LEVELS[level],
            standard_error=0.001,
            seconds={"finetune": 2.0},
        )

    return make


def test_a_promoted_trial_stays_one_trial(leveled, outcome, open_ledger):
    searcher = leveled(trials=6, finalists=1)
    asked = drive(searcher, outcome)
    promoted = [one[NUMBER] for one in asked if one[LEVEL] == 2]
    assert promoted and searcher.done
    records = open_ledger(fidelities=LEVELS).records
    assert len(records) == 6
    for number in promoted:
        record = records[number]
        assert record.result.state == "COMPLETE"
        assert [m.fidelity for m in record.result.measurements] == list(LEVELS)
        # Level 1 did not time it: the figure of the level before stays until the last one's.
        assert record.result.latency_ratio == 1 - record.plan.ratio("a") / 2
        assert record.result.seconds["finetune"] == 6.0


def test_optuna_is_told_complete_of_full_fidelity_alone(leveled, outcome):
    searcher = leveled(trials=6, finalists=1)
    asked = drive(searcher, outcome)
    promoted = {one[NUMBER] for one in asked if one[LEVEL] == 2}
    trials = searcher.optuna_trials
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert {t.user_attrs[PROMOTES] for t in complete} == promoted
    begun = [t for t in trials if PROMOTES not in t.user_attrs]
    assert len(begun) == 6 and {t.state for t in begun} == {TrialState.PRUNED}


def test_what_was_promoted_is_known_after_a_crash(leveled, outcome, open_ledger, tmp_path):
    searcher = leveled(trials=6, finalists=1)
    drive(searcher, outcome)
    before = [(t.number, t.state, t.values) for t in searcher.optuna_trials]
    again = leveled(trials=6, finalists=0)
    assert not again.rebuilt and again.done
    assert [(t.number, t.state, t.values) for t in again.optuna_trials] == before
    # The journal is lost: it is made again from the tables, promotions included.
    (tmp_path / "optuna.journal").write_text("{}\n")
    rebuilt = leveled(trials=6, finalists=0)
    assert rebuilt.rebuilt
    complete = [t.values for t in rebuilt.optuna_trials if t.state == TrialState.COMPLETE]
    assert sorted(complete) == sorted(v for _, s, v in before if s == TrialState.COMPLETE)


def test_what_the_closing_has_spent_stays_spent_after_a_crash(
    leveled, outcome, open_ledger, tmp_path
):
    """Killed after each promotion, a search makes those that one makes that is not killed."""

    def disappointing(asked):
        """The result of a level; after the last, no plan keeps the budget."""
        found = outcome(asked)
        return found if asked[LEVEL] < 2 else replace(found, metric=0.7, metric_loss=0.2)

    def closing(searcher, count):
        asked = drive(searcher, disappointing, count)
        return [(one[NUMBER], one[LEVEL]) for one in asked if one[LEVEL]]

    limits = {"trials": 6, "finalists": 1}
    whole = closing(leveled(folder=tmp_path / "whole", **limits), 100)
    killed = closing(leveled(folder=tmp_path / "killed", **limits), 7)
    while not (again := leveled(folder=tmp_path / "killed", **limits)).done:
        killed += closing(again, 1)
    assert killed == whole
    more = leveled(folder=tmp_path / "killed", **{**limits, "finalists": 3})
    assert not more.done, "further promotions are wanted"
    records = open_ledger(folder=tmp_path / "killed", fidelities=LEVELS).records.values()
    # One training in full, or less if what is left promises no gain.
    assert 1 / 2 <= sum(record.closing_fidelity for record in records) <= 1


def test_a_lost_promotion_is_tried_again_and_a_failed_one_keeps_its_figures(
    leveled, outcome, open_ledger
):
    searcher = leveled(trials=3, finalists=1, retries=1)
    drive(searcher, outcome, 3)
    asked = searcher.suggest("x")
    assert asked[LEVEL] == 1
    searcher.note_loss("x", "the node was lost")
    assert searcher.suggest("y") == asked
    searcher.note_loss("y", "the node was lost")
    record = open_ledger(fidelities=LEVELS).records[asked[NUMBER]]
    assert (record.result.state, record.result.level) == ("FAILED", 0)
    assert record.result.metric_loss == 0.3 * record.plan.ratio("a")
    assert record.retries == 1
    # Optuna's trial stays that of the level before.
    assert not leveled(trials=3, finalists=0).rebuilt


def test_promotions_are_expected_as_long_as_one_promises_a_gain(ledger, record, result, paused):
    promotions = Promotions(ledger, 2)
    # Trial 1 will probably keep the budget; one of those that cost less still might.
    assert promotions.expected().trainings == 2
    for number in (0, 2):
        ledger.record(paused(number, 0.5, 0.4))
    # Then there is only its own training, of 15/16.
    assert promotions.expected() == Closing(15 / 16, ends_early=True)
    ledger.record(record(1, result("COMPLETE", 0.01, 0.3)))
    assert promotions.expected() == Closing(0.0, ends_early=True)


def test_before_the_first_trial_promotions_are_expected(open_ledger):
    ledger = open_ledger(BUDGET, fidelities=LEVELS)
    assert Promotions(ledger, 2).expected() == Closing(2.0, ends_early=False)
