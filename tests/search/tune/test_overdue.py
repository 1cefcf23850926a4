"""When a running trial counts as hung; tests/search/test_needs.py has one in a real Ray."""

from dataclasses import replace

import pytest
from ray.tune.experiment import Trial

from search.tune import overdue, ray_quirks
from search.tune.overdue import LIMIT, TrialWatch


def test_a_trials_time_is_limited_by_what_others_took(open_ledger, record, result):
    ledger = open_ledger()
    assert LIMIT.seconds(ledger, 100.0, None) == 3000.0
    assert LIMIT.seconds(ledger, 1.0, None) == LIMIT.least_s
    ledger.record(replace(record(0, result("COMPLETE", loss=0.1, ratio=0.5)), wall_s=120.0))
    ledger.record(replace(record(1, result("STOPPED", loss=0.1, ratio=0.5)), wall_s=20.0))
    # What failed may have hung itself.
    ledger.record(replace(record(2, result("FAILED")), wall_s=9000.0))
    assert LIMIT.seconds(ledger, 100.0, None) == 1200.0
    assert LIMIT.seconds(ledger, 100.0, 7.0) == 7.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(overdue.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def killed(monkeypatch):
    """The actors that were killed."""
    actors = []
    monkeypatch.setattr(ray_quirks.ray, "kill", actors.append)
    return actors


def test_a_trial_that_hangs_is_explained_once_and_its_worker_killed(open_ledger, clock, killed):
    reasons = []
    watch = TrialWatch(open_ledger(), 1.0, 60.0, lambda *reason: reasons.append(reason))
    hangs, starts, new = (Trial("never", stub=True) for _ in range(3))
    for trial in (hangs, starts):
        watch.on_trial_start(0, [], trial)
    hangs.temporary_state.ray_actor = "actor"
    clock[0] += 61.0
    watch.on_trial_start(0, [], new)
    assert watch.in_words() == "3 trials run, the longest for 61 s"
    for _ in range(2):
        watch.on_step_end(0, [])
    # One that waits for its worker has none to kill.
    assert killed == ["actor"]
    assert [identity for identity, _ in reasons] == [hangs.trial_id]
    assert "took more than 60 s" in reasons[0][1]


def test_a_trial_that_ended_is_not_watched(open_ledger, clock, killed):
    watch = TrialWatch(open_ledger(), 1.0, 60.0, lambda *_: None)
    trials = [Trial("never", stub=True) for _ in range(2)]
    for trial in trials:
        watch.on_trial_start(0, [], trial)
        trial.temporary_state.ray_actor = "actor"
    watch.on_trial_complete(0, [], trials[0])
    watch.on_trial_error(0, [], trials[1])
    clock[0] += 61.0
    watch.on_step_end(0, [])
    assert watch.in_words() == "" and not killed
