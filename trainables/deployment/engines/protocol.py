"""The protocol of engines. A runtime is a library that runs exported models; an engine is a model
that it has loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from spaces.plan import Precision

Option = bool | int | str


@dataclass(frozen=True)
class Configuration:
    """How an engine is set up, as the manifest tells it to those who deploy."""

    name: str
    """Name of the engine."""
    options: Mapping[str, Option]
    """What the runtime was given; for Paddle Inference methods of `paddle.inference.Config`, and
    whether each is called."""
    files: tuple[str, ...]
    """The files that it loads, of the exported model's folder."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Version of each package that the runtime is in, but for Paddle."""
    int8_operators: tuple[str, ...] | None = None
    """Of Paddle Inference: the operators to quantize, None for all."""
    deleted_passes: tuple[str, ...] = ()
    """Of Paddle Inference: passes that compute wrongly."""
    evaluated_on: str | None = None
    """Name of the engine that computes the outputs, if a command times the models."""


class Engine(Protocol):
    """An exported model, loaded: it has been compiled, and a run only computes."""

    @property
    def configuration(self) -> Configuration: ...

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for one batch of any size; `inputs` in the order of the task's."""
        ...

    def operators(self) -> list[str]:
        """Return the types of the operators that really run, in the runtime's own names."""
        ...

    def quantizations(self) -> int | None:
        """Return how many operators make INT8 values or compute on them, read from the program
        that runs; None if that cannot be known.

        0 means that the engine computes in floats only, whatever it was asked for.
        """
        ...

    def layers(self) -> dict[str, Precision]:
        """Return the precision of each convolution and matrix product that has a weight, by the
        weight's name in the exported program, read from what runs.

        Those that the runtime does not tell are left out.
        """
        ...


@runtime_checkable
class SelfTimed(Protocol):
    """An engine that is not timed by a clock around its run."""

    def check_timed(self, batches: Sequence[Sequence[np.ndarray]]) -> None:
        """Raise TrialError if it cannot time these batches."""
        ...

    def run_ms(self, inputs: Sequence[np.ndarray]) -> float:
        """Return the milliseconds of a run. Raises TrialError."""
        ...


@runtime_checkable
class WarmingUp(Protocol):
    """An engine whose first runs take longer for a while."""

    @property
    def warmup_s(self) -> float:
        """Least seconds of runs before it is timed, of all engines that are timed in turn."""
        ...


class Runtime(Protocol):
    """A library that runs exported models, on one kind of device."""

    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions that it has on this machine. Raises ConfigError if it is not
        installed."""
        ...

    def describe(self, precision: Precision) -> str:
        """Return one line for fingerprints: all that a latency depends on, but for the model, the
        number of threads and the processor."""
        ...

    def prepare(self, folder: Path, precision: Precision) -> None:
        """Make Paddle's exported files in a folder loadable: change them, or write more beside
        them. Raises TrialError if the model cannot be."""
        ...

    def files(self, precision: Precision) -> tuple[str, ...]:
        """Return the names of the files that it loads, in the exported model's folder."""
        ...

    def load(self, folder: Path, precision: Precision, threads: int) -> Engine:
        """Load a prepared model, on this number of threads."""
        ...
