"""The probe, on engines whose time is counted, not measured."""

from contextlib import contextmanager

import numpy as np
import pytest

from trainables import latency
from trainables.latency import (
    ENOUGH,
    FINAL,
    FULL,
    QUICK,
    TOLERANCE,
    Effort,
    LatencyReading,
    NoLease,
    time_in_turn,
    time_undisturbed,
    undisturbed_ms,
)

INPUTS = [np.zeros((8, 1), "float32")]
PATIENT = Effort(rounds=40, seconds=60.0)


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slowness = lambda: 1.0


class TimedEngine:
    """Takes `seconds` a run on the clock, times how slow the machine is just then.

    Of that slowness a `sensitive` engine feels more than another: its power.
    """

    def __init__(self, clock, seconds, sensitive=1.0):
        self.clock, self.seconds, self.sensitive, self.runs = clock, seconds, sensitive, 0

    def run(self, inputs):
        self.runs += 1
        self.clock.now += self.seconds * self.clock.slowness() ** self.sensitive
        return []


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock.now)
    return clock


def stretches(clock, slow, share, length=1.0):
    """Let the machine be slow for a share of every stretch of time; it begins slow."""
    return lambda: slow if clock.now % length < share * length else 1.0


def read(candidate, baseline, **more):
    return time_in_turn(candidate, baseline, INPUTS, NoLease(), threads=1, **more)


def test_reading_has_both_latencies_and_their_ratio(clock):
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    reading = read(fast, slow)
    assert reading.latency_ms == pytest.approx(2.0)
    assert reading.baseline_latency_ms == pytest.approx(8.0)
    assert reading.ratio == pytest.approx(0.25)
    assert reading.ratio_spread == pytest.approx(0)
    assert (reading.batch_size, reading.threads) == (8, 1)
    assert LatencyReading(**reading.to_json()) == reading


@pytest.mark.parametrize("effort", [QUICK, FULL, FINAL])
def test_on_a_quiet_machine_a_probe_ends_with_its_rounds(clock, effort):
    reading = read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.004), effort=effort)
    assert reading.rounds == reading.undisturbed == effort.rounds


def test_both_engines_run_equally_often(clock):
    """And are warm before the first run that counts."""
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    read(fast, slow, effort=Effort(rounds=3, seconds=9.0))
    assert fast.runs == slow.runs == latency.WARMUP_RUNS + 3 * 2


@pytest.mark.parametrize("seconds", [0.002, 0.01, 0.05])
def test_a_model_is_as_fast_as_itself(clock, seconds):
    clock.slowness = stretches(clock, slow=1.8, share=0.5, length=0.73)
    reading = read(TimedEngine(clock, seconds), TimedEngine(clock, seconds), effort=PATIENT)
    assert reading.ratio == pytest.approx(1.0)
    assert reading.undisturbed == PATIENT.rounds


def test_a_model_is_as_fast_as_itself_where_runs_differ_a_little(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: float(rng.lognormal(0.0, 0.02))
    ratios = [
        read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.002), effort=PATIENT).ratio
        for _ in range(10)
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)


def test_a_model_is_as_fast_as_itself_where_runs_differ_much(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: float(rng.lognormal(0.0, 0.2))
    ratios = [read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.002)).ratio for _ in range(20)]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("sensitive", [0.3, 1.0, 2.5])
def test_slow_stretches_do_not_reach_the_ratio(clock, share, sensitive):
    """Though the candidate is slowed down by a factor of its own."""
    clock.slowness = stretches(clock, slow=1.5, share=share)
    fast = TimedEngine(clock, 0.002, sensitive)
    reading = read(fast, TimedEngine(clock, 0.008), effort=PATIENT)
    assert reading.ratio == pytest.approx(0.25)
    assert reading.ratio_spread == pytest.approx(0)
    assert reading.latency_ms == pytest.approx(2.0)
    assert reading.baseline_latency_ms == pytest.approx(8.0)
    assert reading.undisturbed == PATIENT.rounds
    assert reading.rounds >= reading.undisturbed


def test_rounds_in_which_the_machine_was_slow_do_not_count(clock):
    clock.slowness = stretches(clock, slow=1.5, share=0.5, length=0.2)
    reading = read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.008), effort=PATIENT)
    assert reading.undisturbed == PATIENT.rounds
    assert reading.rounds > 1.3 * reading.undisturbed


def test_a_little_slower_still_counts(clock):
    """Up to the tolerance, not beyond it."""
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    clock.slowness = lambda: TOLERANCE - 0.01
    near = read(fast, slow, effort=Effort(5, 1.0), baseline_ms=8.0)
    clock.slowness = lambda: TOLERANCE + 0.01
    far = read(fast, slow, effort=Effort(5, 1.0), baseline_ms=8.0)
    assert (near.rounds, near.undisturbed) == (5, 5)
    assert far.rounds > 5
    assert far.undisturbed == 0


def test_a_hiccup_now_and_then_does_not_reach_the_reading(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: 20.0 if rng.random() < 0.1 else 1.0
    reading = read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.008), effort=PATIENT)
    assert reading.ratio == pytest.approx(0.25)
    assert reading.latency_ms == pytest.approx(2.0)


def test_a_probe_begun_in_a_slow_stretch_waits_if_it_knows_the_baseline(clock):
    """It would take the slow stretch for the machine's own pace, and have enough rounds."""
    clock.slowness = lambda: 1.5 if clock.now < 2.0 else 1.0
    unknowing = read(TimedEngine(clock, 0.002, 2.0), TimedEngine(clock, 0.008))
    assert unknowing.ratio == pytest.approx(0.25 * 1.5)
    assert clock.now < 2.0
    waited = read(TimedEngine(clock, 0.002, 2.0), TimedEngine(clock, 0.008), baseline_ms=8.0)
    assert waited.ratio == pytest.approx(0.25)
    assert waited.undisturbed == FULL.rounds
    assert waited.rounds > 2 * FULL.rounds
    assert clock.now > 2.0


def test_a_probe_gives_up_after_its_seconds(clock):
    """The baseline never runs as fast as it is known to."""
    clock.slowness = lambda: 1.5
    fast, slow = TimedEngine(clock, 0.002), TimedEngine(clock, 0.008)
    started = clock.now
    reading = read(fast, slow, effort=Effort(rounds=5, seconds=3.0), baseline_ms=8.0)
    assert reading.undisturbed == 0
    # The last round began within them, after the warm-up.
    one_round = 2 * (0.002 + 0.008) * 1.5
    assert 3.0 < clock.now - started < 3.0 + 2 * one_round + 0.001
    assert reading.rounds == pytest.approx(3.0 / one_round, abs=1)
    # What it has read is better than nothing.
    assert reading.ratio == pytest.approx(0.25)
    assert reading.latency_ms == pytest.approx(3.0)


def test_a_probe_that_gives_up_goes_by_its_least_disturbed_quarter(clock):
    """A third of the time the machine is slow, else very slow, and candidates feel that more."""
    clock.slowness = lambda: 1.3 if clock.now % 1.0 < 0.33 else 3.0
    reading = read(
        TimedEngine(clock, 0.002, 2.0),
        TimedEngine(clock, 0.008),
        effort=Effort(rounds=30, seconds=10.0),
        baseline_ms=8.0,
    )
    assert reading.undisturbed == 0
    assert reading.ratio == pytest.approx(0.25 * 1.3)


def test_a_few_undisturbed_rounds_do_when_time_is_up(clock):
    """Fewer than asked for, but enough."""
    clock.slowness = lambda: 1.0 if clock.now < 0.1 else 1.5
    reading = read(
        TimedEngine(clock, 0.002, 2.0),
        TimedEngine(clock, 0.008),
        effort=Effort(rounds=20, seconds=2.0),
        baseline_ms=8.0,
    )
    assert ENOUGH <= reading.undisturbed < 20
    assert reading.ratio == pytest.approx(0.25)


def test_one_round_is_enough_if_no_more_was_asked_for(clock):
    reading = read(TimedEngine(clock, 0.002), TimedEngine(clock, 0.008), effort=Effort(1, 1.0))
    assert (reading.rounds, reading.undisturbed) == (1, 1)


def test_a_baseline_faster_than_known_is_believed(clock):
    """What was known may have been timed on a busy machine."""
    clock.slowness = stretches(clock, slow=1.5, share=0.5)
    fast, slow = TimedEngine(clock, 0.002, 2.0), TimedEngine(clock, 0.008)
    reading = read(fast, slow, effort=PATIENT, baseline_ms=12.0)
    assert reading.baseline_latency_ms == pytest.approx(8.0)
    assert reading.ratio == pytest.approx(0.25)


def test_every_counted_run_is_under_the_lease(clock):
    held, outside = [], []

    class Watched(TimedEngine):
        def run(self, inputs):
            (held if lease.is_held else outside).append(self)
            return super().run(inputs)

    class Lease:
        is_held, times = False, 0

        @contextmanager
        def exclusive(self):
            self.is_held = True
            self.times += 1
            yield
            self.is_held = False

    lease = Lease()
    fast, slow = Watched(clock, 0.002), Watched(clock, 0.008)
    time_in_turn(fast, slow, INPUTS, lease, threads=1, effort=Effort(rounds=3, seconds=9.0))
    assert held == [slow, fast, fast, slow] * 3
    assert len(outside) == 2 * latency.WARMUP_RUNS
    # Round by round, so that others come in between.
    assert lease.times == 3


def test_undisturbed_is_the_time_of_the_fastest_runs_but_not_of_one_alone():
    runs = np.array([5.0] * 30 + [9.0] * 70)
    assert undisturbed_ms(runs) == pytest.approx(5.0)
    assert undisturbed_ms(np.array([1.0, *[5.0] * 99])) == pytest.approx(5.0)
    assert undisturbed_ms(np.array([7.0])) == 7.0


def test_a_model_is_timed_undisturbed_though_the_machine_is_mostly_slow(clock):
    clock.slowness = stretches(clock, slow=1.7, share=0.7, length=0.5)
    engine = TimedEngine(clock, 0.005)
    assert time_undisturbed(engine, INPUTS, NoLease(), 3.0) == pytest.approx(5.0)
    assert 3.0 < clock.now < 3.1
    assert engine.runs > 100


def test_even_a_model_that_takes_longer_than_the_time_there_is_is_timed(clock):
    engine = TimedEngine(clock, 4.0)
    assert time_undisturbed(engine, INPUTS, NoLease(), 3.0) == pytest.approx(4000.0)
    assert engine.runs == latency.WARMUP_RUNS + 1
