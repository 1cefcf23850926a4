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
