"""The probe, on engines whose time is counted, not measured."""

from contextlib import contextmanager

import numpy as np
import pytest

from trainables import latency
from trainables.latency import NoLease, time_in_turn

INPUTS = [np.zeros((8, 1), "float32")]


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slowness = lambda: 1.0


class TimedEngine:
    """Takes `seconds` a run on the clock, times how slow the machine is just then."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.runs = clock, seconds, 0

    def run(self, inputs):
        self.runs += 1
        self.clock.now += self.seconds * self.clock.slowness()
        return []


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock.now)
    return clock


def test_reading_has_both_latencies_and_their_ratio(clock):
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    reading = time_in_turn(fast, slow, INPUTS, NoLease(), threads=1)
    assert reading.latency_ms == pytest.approx(2.0)
    assert reading.baseline_latency_ms == pytest.approx(8.0)
    assert reading.ratio == pytest.approx(0.25)
    assert reading.ratio_spread == pytest.approx(0)
    assert (reading.batch_size, reading.threads) == (8, 1)


def test_drift_of_the_machine_does_not_reach_the_ratio(clock):
    """It slows down ten times over the probe: milliseconds follow, the ratio hardly."""
    clock.slowness = lambda: 1.0 + 9.0 * min(1.0, clock.now)
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    reading = time_in_turn(fast, slow, INPUTS, NoLease(), threads=1)
    assert reading.latency_ms > 3.0
    assert reading.ratio == pytest.approx(0.25, rel=0.1)


def test_a_hiccup_now_and_then_does_not_reach_the_reading(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: 20.0 if rng.random() < 0.1 else 1.0
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    assert time_in_turn(fast, slow, INPUTS, NoLease(), threads=1).ratio == pytest.approx(0.25)


def test_a_model_is_as_fast_as_itself_in_any_noise(clock):
    """The best of more runs is faster by that alone: both sides need the same number."""
    rng = np.random.default_rng(0)
    clock.slowness = lambda: float(rng.lognormal(0.0, 0.5))
    first, second = TimedEngine(clock, 0.002), TimedEngine(clock, 0.002)
    reading = time_in_turn(first, second, INPUTS, NoLease(), threads=1, rounds=500)
    assert reading.ratio == pytest.approx(1.0, abs=0.06)


def test_every_counted_run_is_under_the_lease(clock):
    held, outside = [], []

    class Watched(TimedEngine):
        def run(self, inputs):
            (held if lease.is_held else outside).append(self)
            return super().run(inputs)

    class Lease:
        is_held = False

        @contextmanager
        def exclusive(self):
            self.is_held = True
            yield
            self.is_held = False

    lease = Lease()
    fast, slow = Watched(clock, 0.002), Watched(clock, 0.008)
    time_in_turn(fast, slow, INPUTS, lease, threads=1, rounds=3)
    assert len(held) == 3 * 2 * latency.RUNS
    assert len(outside) == 2 * latency.WARMUP_RUNS
