"""Two workers and a clock: what a compared method works with."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.delivered.model import Candidate
from benchmarks.delivered.problems import Lengths, Problem
from benchmarks.delivered.processor import ProcessorClock
from benchmarks.delivered.workshop import Place
from spaces.errors import one_line

Value = TypeVar("Value")

# One thread each on two cores, as the search has it.
WORKERS = 2


class Team:
    """The workers of a flow. What they cannot do is noted, and the flow goes on without it."""

    def __init__(self, problem: Problem, seed: int, seconds: float, folder: Path) -> None:
        self.problem, self.seconds = problem, seconds
        self.lengths: Lengths = problem.lengths.within(seconds)
        self.place = Place(problem.name, seed, work_folder(folder), folder)
        self.failures: list[str] = []
        self._clock = ProcessorClock()
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(WORKERS, mp_context=context)

    def __enter__(self) -> Team:
        self._clock.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._clock.__exit__(*error)

    @property
    def used(self) -> float:
        """Processor seconds of the flow until now."""
        return self._clock.seconds()

    @property
    def left(self) -> float:
        return self.seconds - self.used

    def ask(self, job: Callable[..., Value], *arguments: Any) -> Value:
        """Return what one worker finds; it raises what the worker raises."""
        return self._pool.submit(job, self.place, *arguments).result()

    def ask_all(
        self, job: Callable[..., Candidate], each: Iterable[Sequence[Any]]
    ) -> list[Candidate]:
        """Return the candidates of all jobs that succeed, in order."""
        return [found for found in self.ask_each(job, each) if found is not None]

    def ask_each(
        self, job: Callable[..., Candidate], each: Iterable[Sequence[Any]]
    ) -> list[Candidate | None]:
        """Return the candidate of every job, None where it failed."""
        waiting: list[Future[Candidate]] = [
            self._pool.submit(job, self.place, *arguments) for arguments in each
        ]
        found: list[Candidate | None] = []
        for future in waiting:
            try:
                found.append(future.result())
            except Exception as error:  # Pruning, training and engines fail in many ways.
                self.failures.append(one_line(error))
                found.append(None)
        return found


def work_folder(folder: Path) -> Path:
    """Return the folder of the problems' weights and data, for the folder of a flow's cell."""
    return next(parent for parent in folder.parents if parent.name == "delivered").parent
