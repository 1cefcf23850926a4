import psutil
import pytest

from trainables.results import TrialResult
from trainables.trainable import GROWTH, SETTLED, CompressionTrainable


@pytest.fixture
def actor():
    """A trainable between trials, without the model that its setup loads."""
    made = object.__new__(CompressionTrainable)
    made._trials, made._settled = 0, None
    return made


def after(actor, trials, resident, monkeypatch, state="COMPLETE"):
    """Return whether it has grown, after this number of trials and with this memory."""
    memory = type("Memory", (), {"rss": resident})
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: memory)
    actor._trials, actor._last = trials, TrialResult(state)
    return actor._has_grown()


def test_it_has_grown_beyond_what_its_first_trials_left(actor, monkeypatch):
    assert not after(actor, SETTLED - 1, 50_000, monkeypatch), "its first trials load what it needs"
    assert not after(actor, SETTLED, 1_000, monkeypatch)
    assert not after(actor, SETTLED + 1, GROWTH * 1_000, monkeypatch)
    assert after(actor, SETTLED + 2, GROWTH * 1_000 + 1, monkeypatch)


def test_in_the_middle_of_a_trial_it_says_nothing(actor, monkeypatch):
    after(actor, SETTLED, 1_000, monkeypatch)
    assert not after(actor, SETTLED + 1, 9_000, monkeypatch, state="RUNNING")
