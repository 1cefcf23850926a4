"""The latency probe: a candidate timed in turn with reference models, in one process.

Absolute milliseconds drift with the load of the machine, so all models run in each round. That is
not enough on a shared processor: a busy neighbour slows each model by a factor of its own, float
here 1.5 times and INT8 up to 2.5 times, and more with more arithmetic. So the references have the
candidate's precision and known ratios to the baseline, from wide to narrow: the load slows them as
much as the candidate (LOG: a probe for processors that are shared).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.deployment.engines.protocol import Engine, SelfTimed, WarmingUp
from trainables.results import LatencyReading
from trainables.run_times import RunTimes

Array = NDArray[np.float64]
Inputs = Sequence[np.ndarray]
"""A batch: an array for each input of the model."""


@dataclass(frozen=True)
class Pacing:
    """How a probe spends its time on the device."""

    warmup_runs: int = 2
    """Fewest runs of each engine before the first round. A guess."""
    least_share: float = 0.4
    """Minimum share of `Effort.seconds`, however fast the models. A guess."""
    slice_s: float = 0.1
    """Seconds of a lease, unless the probe waited longer for it. A guess."""


PACING = Pacing()


class DeviceLease(Protocol):
    """Leases of the device: exclusive for one probe, shared for any number of training steps."""

    def exclusive(self) -> AbstractContextManager[None]: ...

    def shared(self) -> AbstractContextManager[None]: ...


class NoLease:
    """Leases of a device without other users: never waited for."""

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def shared(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class Effort:
    """When a probe ends: after `rounds` and a minimum share of `seconds`, or after `seconds`."""

    rounds: int
    seconds: float
    """Seconds of the device; waiting for it does not count."""

    def times(self, factor: float) -> Effort:
        """Return an effort with `seconds` multiplied."""
        return Effort(self.rounds, factor * self.seconds)


# Before training, to stop plans that are far too slow; the export is timed again. A guess.
QUICK = Effort(rounds=12, seconds=1.0)
# 30 rounds vary by 1.3 to 2.5 % on a busy machine, and take 3 s for models of 0.1 s a round
# (LOG: a probe for processors that are shared).
FULL = Effort(rounds=40, seconds=4.0)
# For the references and the delivered model, on which all other latencies rest. A guess.
FINAL = Effort(rounds=200, seconds=20.0)


def time_in_turn(
    engines: Sequence[Engine],
    batches: Sequence[Inputs],
    lease: DeviceLease,
    effort: Effort,
) -> Array:
    """Return the milliseconds of every run, shape (rounds, engines, batches).

    `batches` are of different sizes, or one. Each round runs every engine on each batch once, in a
    random order: an engine that runs twice in a row finds its weights in the caches, and each
    should as often as any other (LOG: engines in turn). Sizes change from run to run as they do in
    use, which costs up to a fifth of a run (LOG: several sizes). The device is leased for
    `Pacing.slice_s`, or for as long as the probe waited. Only leased time counts: if others hold
    the device for seconds, for a training step of a large model, the probe takes longer and is as
    exact.
    """
    timers = [_timer(engine, inputs) for engine in engines for inputs in batches]
    _warm_up(engines, batches, PACING.warmup_runs)
    rounds: list[list[float]] = []
    order, shuffling = list(range(len(timers))), Random(0)
    spent = 0.0
    while True:
        asked = time.perf_counter()
        with lease.exclusive():
            started = now = time.perf_counter()
            lease_s = max(PACING.slice_s, started - asked)
            while now - started < lease_s and not _is_enough(len(rounds), spent, effort):
                row = [0.0] * len(timers)
                for index in order:
                    row[index] = timers[index]()
                rounds.append(row)
                shuffling.shuffle(order)
                spent += time.perf_counter() - now
                now = time.perf_counter()
        if _is_enough(len(rounds), spent, effort):
            return np.array(rounds).reshape(-1, len(engines), len(batches))


def check_timed(engine: Engine, batches: Sequence[Inputs]) -> None:
    """Raise TrialError if an engine that times itself cannot: known before what takes minutes."""
    if isinstance(engine, SelfTimed):
        engine.check_timed(batches)


def _warm_up(engines: Sequence[Engine], batches: Sequence[Inputs], runs: int) -> None:
    """Run all engines in turn, some times or for as long as one of them needs."""
    least_s = max((e.warmup_s for e in engines if isinstance(e, WarmingUp)), default=0.0)
    begun, done = time.perf_counter(), 0
    while done < runs or time.perf_counter() - begun < least_s:
        for engine in engines:
            for inputs in batches:
                engine.run(inputs)
        done += 1


def _timer(engine: Engine, inputs: Inputs) -> Callable[[], float]:
    """Return a function that runs an engine once and returns the milliseconds."""
    if isinstance(engine, SelfTimed):
        return partial(engine.run_ms, inputs)

    def run() -> float:
        begun = time.perf_counter()
        engine.run(inputs)
        return (time.perf_counter() - begun) * 1e3

    return run


def _is_enough(rounds: int, seconds: float, effort: Effort) -> bool:
    if rounds >= effort.rounds:
        return seconds >= PACING.least_share * effort.seconds
    return seconds > effort.seconds


def mean_of_runs(engine: Engine, inputs: Inputs, warmup: int = 10, runs: int = 50) -> RunTimes:
    """Return the mean time of `runs` runs, after `warmup` runs that do not count.

    This is how the toolkits time their models. Without references it includes the machine's load.
    """
    _warm_up([engine], [inputs], warmup)
    timer = _timer(engine, inputs)
    times = [timer() for _ in range(runs)]
    return RunTimes(float(np.mean(times)), float(np.std(times)))


def ratios_between(candidate: Array, references: Array, ratios: Sequence[float]) -> Array:
    """Return the candidate's ratio to the baseline in every round, shape (rounds,).

    `candidate` has milliseconds, shape (rounds,), `references` too, shape (rounds, references), and
    `ratios` the references' ratios to the baseline. Each reference gives an estimate that takes the
    candidate to be slowed as much as itself. The result interpolates between the references that
    are next slower and next faster, in logarithms.
    """
    medians = np.median(references, axis=0)
    order = np.argsort(medians)
    ranks = np.arange(len(order))
    rank = np.interp(np.log(np.median(candidate)), np.log(medians[order]), ranks)
    weights = np.zeros(len(order))
    weights[order] = np.maximum(0.0, 1 - np.abs(rank - ranks))
    estimates = np.log(candidate)[:, None] - np.log(references) + np.log(ratios)
    result: Array = np.exp(estimates @ weights)
    return result


def mean_ratio(one: Array, other: Array) -> float:
    """Return how much longer one model takes than another: the mean over the batches of the median
    ratio. Milliseconds have the shape (rounds, batches)."""
    return float(np.median(one / other, axis=0).mean())


def read_latency(
    runs_ms: Array,
    ratios: Sequence[Sequence[float]],
    *,
    baseline_ms: float,
    batch_size: int,
    threads: int,
) -> LatencyReading:
    """Return the reading of `runs_ms`: the candidate in column 0, then its references.

    `ratios` are those of each reference to the baseline, one for each batch. The candidate's is the
    mean over the batches; its milliseconds are `baseline_ms`, of the first batch, times that.
    """
    sizes = zip(np.moveaxis(runs_ms, 2, 0), zip(*ratios, strict=True), strict=True)
    found = np.array([ratios_between(runs[:, 0], runs[:, 1:], known) for runs, known in sizes])
    at_sizes = np.median(found, axis=1)
    low, high = np.percentile(found.mean(axis=0), [25, 75])
    ratio = float(at_sizes.mean())
    return LatencyReading(
        latency_ms=ratio * baseline_ms,
        baseline_latency_ms=baseline_ms,
        ratio=ratio,
        ratio_spread=float(high - low) / 2,
        run_ms=float(np.median(runs_ms[:, 0, 0])),
        rounds=len(runs_ms),
        batch_size=batch_size,
        threads=threads,
        ratios=tuple(at_sizes.tolist()),
    )
