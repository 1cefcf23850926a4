"""The latency probe: a candidate timed in turn with models of known latency, in one process.

Absolute milliseconds drift with whatever else the machine does, so models run back to back,
round by round. That alone is not enough where others share the processor: they slow each model
down by a factor of its own (here, while a neighbour is busy, float 1.5 times and INT8 up to 2.5
times, the more arithmetic the more). So a candidate is timed beside models of its own precision,
from wide to narrow, whose ratios to the baseline are known: what slows it slows them as much.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.results import LatencyReading, RunTimes

if TYPE_CHECKING:
    from trainables.deployment.engine import Engine

Array = NDArray[np.float64]

WARMUP_RUNS = 2
# A probe of models that run in no time still goes on for this share of its seconds.
LEAST_SHARE = 0.4
# How long a probe keeps others waiting who did not keep it waiting.
SLICE_S = 0.1


class DeviceLease(Protocol):
    """Who may use the device: one probe alone, or any number of training steps."""

    def exclusive(self) -> AbstractContextManager[None]: ...

    def shared(self) -> AbstractContextManager[None]: ...


class NoLease:
    """The lease of a device that nobody else uses."""

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def shared(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class Effort:
    """How long a probe goes on: until so many rounds, or seconds of the device, are over."""

    rounds: int
    seconds: float

    def times(self, share: float) -> Effort:
        """Return an effort whose seconds are this share of its own."""
        return Effort(self.rounds, share * self.seconds)


# Before the training only to see what is hopelessly slow; the export is timed again.
QUICK = Effort(rounds=12, seconds=1.0)
FULL = Effort(rounds=40, seconds=4.0)
# What all other figures rest on.
FINAL = Effort(rounds=200, seconds=20.0)


def time_in_turn(
    engines: Sequence[Engine],
    inputs: Sequence[np.ndarray],
    lease: DeviceLease,
    effort: Effort,
) -> Array:
    """Return the milliseconds of every run, shape (rounds, engines).

    Each round runs every engine once, forwards and backwards in turn, so that none always
    follows the same other. The device is leased for a tenth of a second at a time, or for as
    long as it was waited for. Only that time counts: where others hold the device for seconds, for
    a step of a large model, a probe takes longer and is worth as much.
    """
    for engine in engines:
        for _ in range(WARMUP_RUNS):
            engine.run(inputs)
    rounds: list[list[float]] = []
    order = list(range(len(engines)))
    spent = 0.0
    while True:
        asked = time.perf_counter()
        with lease.exclusive():
            started = now = time.perf_counter()
            mine = max(SLICE_S, started - asked)
            while now - started < mine and not _is_enough(len(rounds), spent, effort):
                row = [0.0] * len(engines)
                for index in order:
                    begun = time.perf_counter()
                    engines[index].run(inputs)
                    row[index] = (time.perf_counter() - begun) * 1e3
                rounds.append(row)
                order.reverse()
                spent += time.perf_counter() - now
                now = time.perf_counter()
        if _is_enough(len(rounds), spent, effort):
            return np.array(rounds)


def _is_enough(rounds: int, seconds: float, effort: Effort) -> bool:
    if rounds >= effort.rounds:
        return seconds >= LEAST_SHARE * effort.seconds
    return seconds > effort.seconds


def mean_of_runs(
    engine: Engine, inputs: Sequence[np.ndarray], warmup: int = 10, runs: int = 50
) -> RunTimes:
    """Return the mean of so many runs, after others that do not count.

    The protocol of the toolkits' own figures. It has no reference beside it, so it says what the
    clock said while it ran, and no more.
    """
    for _ in range(warmup):
        engine.run(inputs)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        engine.run(inputs)
        times.append((time.perf_counter() - started) * 1e3)
    return RunTimes(float(np.mean(times)), float(np.std(times)))


def ratios_between(candidate: Array, references: Array, ratios: Sequence[float]) -> Array:
    """Return the candidate's ratio to the baseline in every round, shape (rounds,).

    `candidate` are milliseconds (rounds,), `references` (rounds, references), `ratios` the
    references' own. Each reference gives an estimate, as if the candidate were slowed down as
    much; the two nearest to it count, the nearer the more.
    """
    middles = np.median(references, axis=0)
    order = np.argsort(middles)
    places = np.arange(len(order))
    place = np.interp(np.log(np.median(candidate)), np.log(middles[order]), places)
    weights = np.zeros(len(order))
    weights[order] = np.maximum(0.0, 1 - np.abs(place - places))
    logs = np.log(candidate)[:, None] - np.log(references) + np.log(ratios)
    found: Array = np.exp(logs @ weights)
    return found


def read_latency(
    runs_ms: Array,
    ratios: Sequence[float],
    *,
    baseline_ms: float,
    batch_size: int,
    threads: int,
) -> LatencyReading:
    """Return what runs say: the candidate's in the first column, then its references'."""
    found = ratios_between(runs_ms[:, 0], runs_ms[:, 1:], ratios)
    low, ratio, high = (float(value) for value in np.percentile(found, [25, 50, 75]))
    return LatencyReading(
        latency_ms=ratio * baseline_ms,
        baseline_latency_ms=baseline_ms,
        ratio=ratio,
        ratio_spread=(high - low) / 2,
        run_ms=float(np.median(runs_ms[:, 0])),
        rounds=len(runs_ms),
        batch_size=batch_size,
        threads=threads,
    )
