"""The latency probe: a candidate and the baseline timed in turn, in one process.

Absolute milliseconds drift with whatever else the machine does, so each round times both
models back to back. That is not enough where others share the processor: it slows models
down by factors of their own (here, when a neighbour is busy, float takes 1.4 times as long
and unpruned INT8 twice). So only rounds count in which the baseline ran as fast as it
does undisturbed, before the candidate and after it, and the probe waits for such rounds a while.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from trainables.engine import Engine

WARMUP_RUNS = 2
# How far above its undisturbed time the baseline may be in a round that counts.
TOLERANCE = 1.2
# Which part of the baseline's runs counts as undisturbed if nobody knows better.
FASTEST_SHARE = 0.1
# With fewer rounds undisturbed than this, the least disturbed quarter of all has to serve.
ENOUGH = 3


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
    """How long a probe goes on: until so many undisturbed rounds, or seconds, are over."""

    rounds: int
    seconds: float


# Before the training only to see what is hopelessly slow; the export is timed again.
QUICK = Effort(rounds=3, seconds=1.0)
FULL = Effort(rounds=8, seconds=4.0)
FINAL = Effort(rounds=20, seconds=20.0)


@dataclass(frozen=True)
class LatencyReading:
    """One probe: medians over its undisturbed rounds."""

    latency_ms: float
    baseline_latency_ms: float
    ratio: float
    """Median over rounds of candidate to baseline, below 1 is faster."""
    ratio_spread: float
    """Half the distance between the quartiles of the rounds' ratios."""
    rounds: int
    undisturbed: int
    """Rounds that counted; 0 if there were too few, and the least disturbed had to serve."""
    batch_size: int
    threads: int

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def _run_ms(engine: Engine, inputs: Sequence[np.ndarray]) -> float:
    start = time.perf_counter()
    engine.run(inputs)
    return (time.perf_counter() - start) * 1e3


def undisturbed_ms(runs_ms: np.ndarray) -> float:
    """Return what a model takes when nothing slows it down, from many of its runs."""
    return float(np.quantile(runs_ms, FASTEST_SHARE))


def _slowness(rounds: np.ndarray, baseline_ms: float | None) -> np.ndarray:
    """Return how much longer than undisturbed each round's slowest run took, shape (rounds,).

    The candidate counts as the baseline does: to choose rounds by the luck of one of them alone
    would make the other look slower than it is.
    """
    baseline, candidate = rounds[:, :2], rounds[:, 2:]
    fastest = undisturbed_ms(baseline)
    if baseline_ms is not None:
        fastest = min(fastest, baseline_ms)
    of_baseline = baseline.max(axis=1) / fastest
    calm = of_baseline <= max(TOLERANCE, float(of_baseline.min()))
    of_candidate = candidate.max(axis=1) / undisturbed_ms(candidate[calm])
    slowest: np.ndarray = np.maximum(of_baseline, of_candidate)
    return slowest


def time_in_turn(
    candidate: Engine,
    baseline: Engine,
    inputs: Sequence[np.ndarray],
    lease: DeviceLease,
    *,
    threads: int,
    effort: Effort = FULL,
    baseline_ms: float | None = None,
) -> LatencyReading:
    """Return the latency of `candidate` and of `baseline` on the same batch.

    `baseline_ms` is what the baseline takes undisturbed, None if this probe has to find out.
    The device is leased round by round, so that others wait for milliseconds only.
    """
    for engine in (baseline, candidate):
        for _ in range(WARMUP_RUNS):
            engine.run(inputs)
    started = time.perf_counter()
    rounds: list[tuple[float, float, float, float]] = []
    # The same number of runs each, and each as early as the other.
    order = (baseline, candidate, candidate, baseline)
    while True:
        with lease.exclusive():
            before, first, second, after = (_run_ms(engine, inputs) for engine in order)
        rounds.append((before, after, first, second))
        slowness = _slowness(np.array(rounds), baseline_ms)
        counts = slowness <= TOLERANCE
        if counts.sum() >= effort.rounds or time.perf_counter() - started > effort.seconds:
            break
    undisturbed = int(counts.sum())
    if undisturbed < min(ENOUGH, effort.rounds):
        undisturbed = 0
        counts = slowness <= np.quantile(slowness, 0.25)
    kept = np.array(rounds)[counts]
    ratios = kept[:, 2:].sum(axis=1) / kept[:, :2].sum(axis=1)
    quartiles = np.percentile(ratios, [25, 50, 75])
    return LatencyReading(
        latency_ms=float(np.median(kept[:, 2:])),
        baseline_latency_ms=float(np.median(kept[:, :2])),
        ratio=float(quartiles[1]),
        ratio_spread=float(quartiles[2] - quartiles[0]) / 2,
        rounds=len(rounds),
        undisturbed=undisturbed,
        batch_size=len(inputs[0]),
        threads=threads,
    )


def time_undisturbed(
    engine: Engine, inputs: Sequence[np.ndarray], lease: DeviceLease, seconds: float = 3.0
) -> float:
    """Return the milliseconds a model takes when nothing slows it down."""
    for _ in range(WARMUP_RUNS):
        engine.run(inputs)
    started = time.perf_counter()
    runs: list[float] = []
    while not runs or time.perf_counter() - started < seconds:
        with lease.exclusive():
            runs.append(_run_ms(engine, inputs))
    return undisturbed_ms(np.array(runs))
