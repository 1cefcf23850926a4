"""The searcher after a crash: nothing finished is lost, nothing is done twice."""

import random
import time
from itertools import count

import pytest
from optuna.trial import TrialState

from search.tune.journal import CONSTRAINT
from search.tune.journal_file import ORIGIN, REPEATS
from spaces.plan import PruningGroup
from spaces.space import Space
from tests.search.tune.tabulated import (
    BUDGET,
    FLOAT,
    JOURNAL,
    PTQ,
    WARM_STARTS,
    drive,
    one_group,
    optuna_trial,
    plan_of,
    reported,
    tabulated,
)
from trainables.results import TrialResult
from trainables.trainable import NUMBER, PLAN


class KilledError(Exception):
    """Stands for the driver's death: nothing after it happens."""


def killed(*arguments, **keywords):
    raise KilledError


def test_a_trial_with_a_row_is_told_after_a_crash(open_searcher, open_ledger, monkeypatch):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    monkeypatch.setattr(searcher._journal.study, "tell", killed)
    with pytest.raises(KilledError):
        drive(searcher, 1)
    assert optuna_trial(searcher, 0).state == TrialState.RUNNING

    resumed = open_searcher(warm_starts=WARM_STARTS)
    trial, expected = optuna_trial(resumed, 0), tabulated(WARM_STARTS[0])
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [expected.metric_loss, expected.latency_ratio]
    assert trial.constraints == {CONSTRAINT: expected.metric_loss - BUDGET}
    assert list(open_ledger().records) == [0]
    assert tuple(drive(resumed, 3)) == WARM_STARTS[1:]


@pytest.mark.parametrize(("state", "told"), [("STOPPED", "PRUNED"), ("FAILED", "FAIL")])
def test_a_stopped_or_failed_row_is_told_as_such_after_a_crash(
    open_searcher, result, monkeypatch, state, told
):
    searcher = open_searcher()
    monkeypatch.setattr(searcher._journal.study, "tell", killed)
    with pytest.raises(KilledError):
        drive(searcher, 1, lambda plan: result(state, reason="why"))
    assert optuna_trial(open_searcher(), 0).state.name == told


def test_a_trial_without_a_row_is_asked_for_again_after_a_crash(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    drive(searcher, 6)
    lost = searcher.suggest("lost")

    resumed = open_searcher(warm_starts=WARM_STARTS)
    assert optuna_trial(resumed, lost[NUMBER]).state == TrialState.RUNNING
    again = resumed.suggest("again")
    assert again[PLAN] == lost[PLAN]
    assert again[NUMBER] == lost[NUMBER]
    resumed.on_trial_complete("again", reported(tabulated(plan_of(again))))
    assert open_ledger().records[again[NUMBER]].origin == "sampled"


def test_warm_starts_stay_warm_starts_after_a_crash(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    drive(searcher, 1)
    searcher.suggest("lost")
    resumed = open_searcher(warm_starts=WARM_STARTS)
    plans = drive(resumed, 6)
    assert set(plans[:3]) == set(WARM_STARTS[1:])
    origins = [record.origin for _, record in sorted(open_ledger().records.items())]
    assert sorted(origins) == ["sampled"] * 3 + ["warm_start"] * 4


def test_a_search_carried_on_goes_other_ways_than_it_has_been(open_searcher):
    """A sampler of the same seed would draw the same random plans again."""
    # So many plans that none comes twice by chance.
    wide = Space(tuple(PruningGroup(name, 64) for name in "abcd"), (FLOAT, PTQ))
    drive(open_searcher(seed=3, space=wide), 5)
    resumed = open_searcher(seed=3, space=wide)
    drive(resumed, 5)
    assert resumed.repeats == 0


@pytest.mark.parametrize("seed", range(3))
def test_crashes_at_any_time_lose_nothing_and_double_nothing(
    open_searcher, open_ledger, monkeypatch, seed
):
    """Two trials run at a time, and the driver dies every few steps."""
    dice, names, trials = random.Random(seed), count(), 14
    searcher, running = open_searcher(seed, WARM_STARTS), []

    def complete_first():
        trial_id, suggestion = running.pop(0)
        searcher.on_trial_complete(trial_id, reported(tabulated(plan_of(suggestion))))

    while len(searcher._ledger.records) < trials:
        fate = dice.random()
        if fate < 0.1:
            searcher, running = open_searcher(seed, WARM_STARTS), []
        elif fate < 0.2 and running:
            # This time between the row and the telling.
            monkeypatch.setattr(searcher._journal.study, "tell", killed)
            with pytest.raises(KilledError):
                complete_first()
            searcher, running = open_searcher(seed, WARM_STARTS), []
        elif len(running) == 2:
            complete_first()
        else:
            name = f"trial-{next(names)}"
            running.append((name, searcher.suggest(name)))

    searcher = open_searcher(seed, WARM_STARTS)
    records = open_ledger().records
    plans = [record.plan for record in records.values()]
    assert len(plans) >= trials
    assert len(set(plans)) == len(plans)
    assert {r.plan for r in records.values() if r.origin == "warm_start"} == set(WARM_STARTS)
    interrupted = {proposal.number for proposal in searcher._queue} - {None}
    for trial in searcher.optuna_trials:
        assert (trial.state == TrialState.RUNNING) == (trial.number in interrupted)
        if trial.number in records:
            assert trial.state == TrialState.COMPLETE
            expected = records[trial.number].result
            assert trial.values == [expected.metric_loss, expected.latency_ratio]
        elif trial.state == TrialState.COMPLETE:
            # A repeat: it has no row of its own.
            assert trial.user_attrs[REPEATS] in records
    # What was interrupted is tried next, each plan once.
    waiting = [proposal.plan for proposal in searcher._queue]
    assert len(set(waiting)) == len(waiting)
    assert not set(waiting) & set(plans)


def test_a_killed_drivers_journal_lock_keeps_nobody_waiting(open_searcher, tmp_path):
    drive(open_searcher(), 1)
    # Optuna's lock is a link, and a killed process leaves it behind.
    (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    start = time.monotonic()
    drive(open_searcher(), 1)
    # Optuna itself gives such a lock up after 30 s.
    assert time.monotonic() - start < 30


def test_a_warm_start_in_the_ledger_is_not_tried_again(open_searcher, open_ledger, record):
    ledger = open_ledger()
    ledger.record(record(0, tabulated(WARM_STARTS[1]), WARM_STARTS[1]))
    searcher = open_searcher(warm_starts=WARM_STARTS)
    assert drive(searcher, 3) == [WARM_STARTS[0], *WARM_STARTS[2:]]
    assert searcher.repeats == 0


def cut_journal(path, after):
    """Cut a journal after the first line that has a text, as if the driver had died there."""
    lines = path.read_text().splitlines(keepends=True)
    last = next(index for index, line in enumerate(lines) if after in line)
    path.write_text("".join(lines[: last + 1]))


def test_a_driver_that_dies_once_a_sampled_trial_runs_loses_no_plan(open_searcher, tmp_path):
    open_searcher().suggest("lost")
    cut_journal(tmp_path / JOURNAL, '"op_code":4')
    assert set(drive(open_searcher(warm_starts=WARM_STARTS), 4)) == set(WARM_STARTS)


@pytest.mark.parametrize("missing", [1, 10, 60])
def test_a_journal_whose_last_line_was_cut_short_is_carried_on(open_searcher, tmp_path, missing):
    """A full disk or a power cut does that."""
    plans = drive(open_searcher(), 2)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-missing])
    plans += drive(open_searcher(), 2)
    searcher = open_searcher()
    plans += drive(searcher, 2)
    assert len(set(plans)) == 6
    assert {trial.state for trial in searcher.optuna_trials} == {TrialState.COMPLETE}


def test_repeats_are_counted_over_a_resume(open_searcher):
    searcher = open_searcher(space=one_group(64))
    drive(searcher, 8)
    assert open_searcher(space=one_group(64)).repeats == searcher.repeats > 0


def test_the_origin_of_a_plan_is_known_to_optuna(open_searcher):
    searcher = open_searcher(warm_starts=WARM_STARTS[:1])
    drive(searcher, 2)
    assert optuna_trial(searcher, 0).user_attrs[ORIGIN] == "warm_start"
    assert optuna_trial(searcher, 1).user_attrs[ORIGIN] == "sampled"


def test_plans_that_all_failed_may_be_tried_again(open_searcher, open_ledger):
    def fails(plan):
        return TrialResult("FAILED", reason="the data is gone")

    drive(open_searcher(warm_starts=WARM_STARTS, trials=3), 9, fails)
    retryable = open_ledger().retryable()
    assert [record.plan for record in retryable] == list(WARM_STARTS[:3])
    resumed = open_searcher(
        warm_starts=WARM_STARTS, trials=6, again=[record.plan for record in retryable]
    )
    # What has not been tried yet comes first.
    assert drive(resumed, 9) == [WARM_STARTS[3], *WARM_STARTS[:2]]
    ledger = open_ledger()
    assert sorted(ledger.records) == [0, 1, 2, *sorted(ledger.records)[3:]]
    assert len(ledger.complete()) == 3
    assert ledger.retryable() == []
