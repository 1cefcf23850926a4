"""The latency probe: a candidate and the baseline timed in turn, in one process.

Absolute milliseconds drift with whatever else the machine does. Each round times
both models back to back, so the drift is in both and their ratio holds.
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
# The same number for both: the best of more runs is faster by that alone.
RUNS = 2
QUICK_ROUNDS = 5
FULL_ROUNDS = 16


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
class LatencyReading:
    """One probe: medians over its rounds."""

    latency_ms: float
    baseline_latency_ms: float
    ratio: float
    """Median over rounds of candidate to baseline, below 1 is faster."""
    ratio_spread: float
    """Half the distance between the quartiles of the rounds' ratios."""
    rounds: int
    batch_size: int
    threads: int

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def _best_ms(engine: Engine, inputs: Sequence[np.ndarray], runs: int) -> float:
    """Return the fastest of some runs: interference only ever adds time."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        engine.run(inputs)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def time_in_turn(
    candidate: Engine,
    baseline: Engine,
    inputs: Sequence[np.ndarray],
    lease: DeviceLease,
    *,
    threads: int,
    rounds: int = FULL_ROUNDS,
) -> LatencyReading:
    """Return the latency of `candidate` and of `baseline` on the same batch.

    The device is leased round by round, so that others wait for milliseconds only.
    """
    for engine in (baseline, candidate):
        for _ in range(WARMUP_RUNS):
            engine.run(inputs)
    pairs = []
    for turn in range(rounds):
        # Each goes first in every other round, whatever going first may be worth.
        order = (candidate, baseline) if turn % 2 else (baseline, candidate)
        with lease.exclusive():
            best = {id(engine): _best_ms(engine, inputs, RUNS) for engine in order}
        pairs.append((best[id(candidate)], best[id(baseline)]))
    candidate_ms, baseline_ms = np.array(pairs).T
    quartiles = np.percentile(candidate_ms / baseline_ms, [25, 50, 75])
    return LatencyReading(
        latency_ms=float(np.median(candidate_ms)),
        baseline_latency_ms=float(np.median(baseline_ms)),
        ratio=float(quartiles[1]),
        ratio_spread=float(quartiles[2] - quartiles[0]) / 2,
        rounds=rounds,
        batch_size=len(inputs[0]),
        threads=threads,
    )
