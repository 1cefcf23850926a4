"""The seconds of stages: summed, persisted after each, and counted where a stage fails."""

import pytest

from search.records import clock as clock_module
from search.records.clock import StageClock


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is moved."""
    time = [100.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: time[0])
    return time


def test_a_resumed_stage_adds_to_what_it_took_before(now):
    persisted = []
    clock = StageClock({"search": 10.0}, lambda seconds: persisted.append(dict(seconds)))
    with clock.measure("search"):
        now[0] += 5.0
        assert clock.seconds() == {"search": 15.0}
    with clock.measure("retrain"):
        now[0] += 2.0
    assert persisted == [{"search": 15.0}, {"search": 15.0, "retrain": 2.0}]
    now[0] += 50.0
    assert clock.seconds() == persisted[-1]


def test_a_stage_that_fails_counts_and_is_not_persisted(now):
    persisted = []
    clock = StageClock(persist=persisted.append)
    with pytest.raises(ValueError), clock.measure("search"):
        now[0] += 3.0
        raise ValueError
    assert clock.seconds() == {"search": 3.0} and not persisted


def test_the_time_of_a_study_is_that_of_its_stages_before_and_all_of_this_process(now):
    persisted = []
    clock = StageClock({"baseline": 10.0, "search": 20.0}, persisted.append, began=95.0)
    assert clock.elapsed_s() == 35.0
    with clock.measure("search"):
        now[0] += 4.0
        clock.persist()
        assert clock.elapsed_s() == 39.0
        # A process that is killed now has spent this.
        assert persisted == [{"baseline": 10.0, "search": 24.0}]
