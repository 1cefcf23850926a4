"""The probe, on engines that take simulated time."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

from trainables import probe
from trainables.files.codec import decode, encode
from trainables.probe import (
    FINAL,
    FULL,
    PACING,
    QUICK,
    Effort,
    NoLease,
    ratios_between,
    read_latency,
    time_in_turn,
)
from trainables.results import LatencyReading

BATCHES = [[np.zeros((8, 1), "float32")]]
SOME = Effort(rounds=40, seconds=4.0)


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slowness = lambda: 1.0


class TimedEngine:
    """A run takes `seconds` times the clock's slowness to the power of `sensitive`."""

    def __init__(self, clock, seconds, sensitive=1.0):
        self.clock, self.seconds, self.sensitive, self.runs = clock, seconds, sensitive, 0

    def run(self, inputs):
        self.runs += 1
        self.clock.now += self.seconds * self.clock.slowness() ** self.sensitive
        return []


class ColdEngine(TimedEngine):
    """Slower until it has run for some seconds, as a GPU whose clocks rise."""

    warmup_s = 1.0

    def run(self, inputs):
        self.clock.now += self.seconds if self.clock.now < self.warmup_s else 0.0
        return super().run(inputs)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(probe.time, "perf_counter", lambda: clock.now)
    return clock


def stretches(clock, slow, share, length=1.0):
    """Make the machine slow for the first `share` of every stretch of time."""
    return lambda: slow if clock.now % length < share * length else 1.0


def read(candidate, *references, effort=SOME):
    """Return a candidate's reading beside (engine, ratio) pairs."""
    runs_ms = time_in_turn([candidate, *(e for e, _ in references)], BATCHES, NoLease(), effort)
    ratios = [[ratio] for _, ratio in references]
    return read_latency(runs_ms, ratios, baseline_ms=8.0, batch_size=8, threads=1)


def test_runs_are_milliseconds_by_round_and_engine(clock):
    engines = [TimedEngine(clock, 0.002), TimedEngine(clock, 0.008), TimedEngine(clock, 0.1)]
    runs_ms = time_in_turn(engines, BATCHES, NoLease(), Effort(3, 0.0))
    assert runs_ms == pytest.approx(np.array([[[2.0], [8.0], [100.0]]]))
    runs_ms = time_in_turn(engines, BATCHES, NoLease(), Effort(3, 0.8))
    assert runs_ms.shape == (3, 3, 1)
    assert [engine.runs for engine in engines] == [2 * PACING.warmup_runs + 4] * 3


def test_each_round_runs_all_and_every_counted_run_is_under_the_lease(clock):
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
    one, other = Watched(clock, 0.4), Watched(clock, 0.8)
    time_in_turn([one, other], BATCHES, lease, Effort(rounds=3, seconds=9.0))
    assert [{*held[start : start + 2]} for start in (0, 2, 4)] == [{one, other}] * 3
    assert len(outside) == 2 * PACING.warmup_runs
    # Round by round, so that others come in between.
    assert lease.times == 3


def test_every_engine_runs_twice_in_a_row_as_often_as_any_other(clock):
    """Then it finds its weights in the caches."""
    ran = []

    class Watched(TimedEngine):
        def run(self, inputs):
            ran.append(self)
            return super().run(inputs)

    engines = [Watched(clock, 0.001) for _ in range(4)]
    time_in_turn(engines, BATCHES, NoLease(), Effort(rounds=1_000, seconds=8.0))
    counted = ran[len(engines) * PACING.warmup_runs :]
    twice = [sum(a is b is engine for a, b in pairwise(counted)) for engine in engines]
    # A sixteenth of the rounds each. If the order were reversed: two in half of them, two never.
    assert max(twice) < 1.6 * min(twice)
    again = [*ran]
    ran.clear()
    time_in_turn(engines, BATCHES, NoLease(), Effort(rounds=1_000, seconds=8.0))
    assert ran == again


@pytest.mark.parametrize(("step", "leases"), [(0.0, 7), (0.3, 3), (5.0, 1)])
def test_waiting_for_the_device_does_not_count_and_is_paid_back(clock, step, leases):
    class Shared:
        times = 0

        @contextmanager
        def exclusive(self):
            # Another process trains, in steps of this length.
            clock.now += step
            self.times += 1
            yield

    lease = Shared()
    engines = [TimedEngine(clock, 0.02), TimedEngine(clock, 0.02)]
    assert len(time_in_turn(engines, BATCHES, lease, Effort(rounds=20, seconds=1.0))) == 20
    assert lease.times == leases


@pytest.mark.parametrize("effort", [QUICK, FULL, FINAL, FULL.times(3), FINAL.times(0.1)])
@pytest.mark.parametrize("seconds", [0.0001, 0.004, 0.4])
def test_a_probe_ends_with_its_rounds_but_not_at_once_and_not_late(clock, effort, seconds):
    engines = [TimedEngine(clock, seconds), TimedEngine(clock, seconds)]
    started = clock.now
    runs_ms = time_in_turn(engines, BATCHES, NoLease(), effort)
    spent = clock.now - started - 2 * PACING.warmup_runs * seconds
    assert spent <= effort.seconds + 2 * seconds + 1e-6
    assert spent >= PACING.least_share * effort.seconds
    assert len(runs_ms) >= effort.rounds or spent >= effort.seconds


def test_there_is_always_one_round(clock):
    assert len(time_in_turn([TimedEngine(clock, 9.0)], BATCHES, NoLease(), QUICK)) == 1


def test_the_fields_of_a_reading(clock):
    reading = read(TimedEngine(clock, 0.002), (TimedEngine(clock, 0.008), 1.0))
    assert reading.ratio == pytest.approx(0.25)
    assert reading.ratio_spread == pytest.approx(0)
    assert [reading.latency_ms, reading.run_ms] == pytest.approx([2.0, 2.0])
    assert reading.baseline_latency_ms == 8.0
    assert (reading.batch_size, reading.threads) == (8, 1)
    assert reading.rounds >= 40
    assert decode(LatencyReading, encode(LatencyReading, reading)) == reading


def test_latency_is_on_the_scale_of_the_baselines_timing(clock):
    clock.slowness = lambda: 1.5
    reading = read(TimedEngine(clock, 0.002), (TimedEngine(clock, 0.008), 1.0))
    assert reading.run_ms == pytest.approx(3.0)
    assert reading.latency_ms == pytest.approx(2.0)


@pytest.mark.parametrize("seconds", [0.002, 0.003, 0.004, 0.0055, 0.01])
def test_without_load_references_agree_on_the_ratio(clock, seconds):
    references = [(TimedEngine(clock, 0.003), 0.3), (TimedEngine(clock, 0.006), 0.6)]
    assert read(TimedEngine(clock, seconds), *references).ratio == pytest.approx(seconds * 100)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_load_that_slows_references_as_much_does_not_change_the_ratio(clock, share):
    clock.slowness = stretches(clock, slow=2.5, share=share)
    references = [(TimedEngine(clock, 0.003), 0.3), (TimedEngine(clock, 0.006), 0.6)]
    reading = read(TimedEngine(clock, 0.004), *references)
    assert reading.ratio == pytest.approx(0.4)


@pytest.mark.parametrize("share, of_baseline", [(0.2, 0.4), (0.8, 0.553), (1.0, 0.553)])
def test_references_more_and_less_sensitive_than_the_candidate_give_its_ratio(
    clock, share, of_baseline
):
    """A baseline that is less sensitive, as float beside INT8, does while the median is quiet."""
    clock.slowness = stretches(clock, slow=1.5, share=share)

    def model(seconds, sensitive):
        return TimedEngine(clock, seconds, sensitive)

    between = read(model(0.004, 1.8), (model(0.003, 1.5), 0.3), (model(0.006, 2.2), 0.6))
    beside_baseline = read(model(0.004, 1.8), (model(0.01, 1.0), 1.0))
    assert between.ratio == pytest.approx(0.4, rel=0.01)
    assert beside_baseline.ratio == pytest.approx(of_baseline, rel=0.01)


def test_outliers_do_not_change_the_ratio(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: 20.0 if rng.random() < 0.1 else 1.0
    reading = read(TimedEngine(clock, 0.002), (TimedEngine(clock, 0.008), 1.0))
    assert reading.ratio == pytest.approx(0.25)


def test_random_variation_does_not_bias_the_ratio(clock):
    rng = np.random.default_rng(0)
    clock.slowness = lambda: float(rng.lognormal(0.0, 0.2))
    ratios = [
        read(
            TimedEngine(clock, 0.004),
            (TimedEngine(clock, 0.003), 0.3),
            (TimedEngine(clock, 0.006), 0.6),
        ).ratio
        for _ in range(20)
    ]
    assert np.mean(ratios) == pytest.approx(0.4, rel=0.02)
    assert np.std(ratios) < 0.05 * 0.4


def test_the_nearer_reference_counts_more():
    candidate = np.full(5, 4.0)
    references = np.array([[2.0, 8.0]] * 5)
    # Estimates 4.0 / 2.0 * 0.1 and 4.0 / 8.0 * 0.9; the candidate is halfway between.
    found = ratios_between(candidate, references, [0.1, 0.9])
    assert found == pytest.approx([np.sqrt(0.2 * 0.45)] * 5)
    assert ratios_between(candidate / 2, references, [0.1, 0.9]) == pytest.approx([0.1] * 5)
    assert ratios_between(candidate * 3, references, [0.1, 0.9]) == pytest.approx([1.35] * 5)


def test_the_order_of_references_does_not_matter():
    rng = np.random.default_rng(0)
    candidate, references = rng.uniform(3, 5, 30), rng.uniform(1, 9, (30, 3))
    found = ratios_between(candidate, references, [0.1, 0.4, 0.9])
    other = ratios_between(candidate, references[:, [2, 0, 1]], [0.9, 0.1, 0.4])
    assert found == pytest.approx(other)


def test_an_engine_that_warms_up_is_timed_when_it_is_warm(clock):
    engine = ColdEngine(clock, 0.01)
    runs_ms = time_in_turn([engine], BATCHES, NoLease(), QUICK)
    assert np.allclose(runs_ms, 10)
    clock.now = 0.0
    assert np.isclose(probe.mean_of_runs(engine, BATCHES[0], warmup=1).mean_ms, 10)


class SizedEngine(TimedEngine):
    """A run takes `seconds` for each place of the input."""

    def __init__(self, clock, seconds):
        super().__init__(clock, seconds)
        self.widths = []

    def run(self, inputs):
        width = inputs[0].shape[1]
        self.widths.append(width)
        self.clock.now += self.seconds * width
        return []


SIZES = [[np.zeros((8, width), "float32")] for width in (1, 4)]


def test_each_round_runs_every_engine_at_every_size(clock):
    engines = [SizedEngine(clock, 0.002), SizedEngine(clock, 0.008)]
    runs_ms = time_in_turn(engines, SIZES, NoLease(), Effort(100, 9.0))
    assert runs_ms == pytest.approx(np.array([[[2.0, 8.0], [8.0, 32.0]]] * len(runs_ms)))
    for engine in engines:
        counts = engine.widths.count(1), engine.widths.count(4)
        assert counts == (PACING.warmup_runs + len(runs_ms),) * 2
    # In a random order: sizes change, as they do in use.
    pairs = [a == b for a, b in pairwise(engines[0].widths)]
    assert 0.2 < np.mean(pairs) < 0.8


def test_the_ratio_is_the_mean_over_the_sizes_and_milliseconds_are_of_the_first():
    # Rounds, then the candidate, two references, the baseline; each at two sizes.
    runs_ms = np.array([[[2.0, 24.0], [1.0, 12.0], [4.0, 48.0], [8.0, 60.0]]] * 5)
    ratios = runs_ms[0, 1:] / runs_ms[0, 3]
    reading = read_latency(runs_ms, ratios.tolist(), baseline_ms=8.0, batch_size=8, threads=1)
    assert reading.ratios == pytest.approx((0.25, 0.4))
    assert reading.ratio == pytest.approx(0.325)
    assert (reading.run_ms, reading.latency_ms) == pytest.approx((2.0, 8.0 * 0.325))
    assert probe.mean_ratio(runs_ms[:, 0], runs_ms[:, 3]) == pytest.approx(0.325)
    assert decode(LatencyReading, encode(LatencyReading, reading)) == reading
