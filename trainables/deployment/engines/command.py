"""A command of the user's that times exported models, on any device whatever.

It is given the exported model's folder and prints milliseconds. An engine of this node computes the
outputs.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spaces.errors import ConfigError, TrialError, short, shown
from spaces.plan import Precision
from trainables.deployment.engines.protocol import Configuration, Engine, Runtime

NAME = "command"
PLACES = ("model", "batch", "shape", "threads", "precision")
# How often a command is called before it counts as failed: a connection may break. A guess.
CALLS = 2


def arguments_of(command: str, values: Mapping[str, object]) -> list[str]:
    """Return a command's arguments with the names in braces, of PLACES, filled in.

    No shell reads them. Raises ConfigError if the command is no list of words, has another name in
    braces, or does not name the model.
    """
    try:
        words = shlex.split(command)
        filled = [word.format(**values) for word in words]
    except (ValueError, LookupError, AttributeError) as error:
        raise ConfigError(
            f"probe_command {shown(command)} cannot be read ({error}); in braces it may have "
            f"{', '.join(PLACES)}"
        ) from error
    if not any("{model}" in word for word in words):
        raise ConfigError(
            f"probe_command {shown(command)} does not say which model; add {{model}}, the folder "
            "of its files"
        )
    return filled


def _milliseconds(arguments: Sequence[str], timeout_s: float) -> float:
    """Return what a command prints in its last line. Raises TrialError if that is no time."""
    said = f"command {shown(shlex.join(arguments))}"
    try:
        ended = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrialError(f"{said}: no end after {timeout_s:g} s") from error
    except OSError as error:
        raise TrialError(f"{said}: {error.strerror}") from error
    lines = ended.stdout.strip().splitlines()
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or lines or ["it said nothing"])[-1]
        raise TrialError(f"{said}: exit status {ended.returncode}, {short(last)}")
    try:
        found = float(lines[-1]) if lines else math.nan
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        line = shown(lines[-1]) if lines else "nothing"
        raise TrialError(f"{said}: its last line is {line}, not milliseconds above 0")
    return found


def _shape(inputs: Sequence[np.ndarray]) -> str:
    """Return the shapes of inputs without the batch axis, as 3x480x640, with commas between."""
    return ",".join("x".join(map(str, array.shape[1:])) for array in inputs)


@dataclass(frozen=True)
class CommandEngine:
    """A model that a command times and a local engine computes."""

    command: str
    timeout_s: float
    folder: Path
    precision: Precision
    threads: int
    local: Engine

    @property
    def configuration(self) -> Configuration:
        local = self.local.configuration
        return replace(local, name=NAME, evaluated_on=local.name)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self.local.run(inputs)

    def check_timed(self, batches: Sequence[Sequence[np.ndarray]]) -> None:
        if len(set(map(_shape, batches))) > 1 and "{shape}" not in self.command:
            raise TrialError(
                f"probe_command {shown(self.command)} does not say which of the {len(batches)} "
                f"sizes is timed; add {{shape}}, which is {_shape(batches[0])} for the first"
            )
        for inputs in batches:
            self.run_ms(inputs)

    def run_ms(self, inputs: Sequence[np.ndarray]) -> float:
        values = {
            "model": self.folder,
            "batch": len(inputs[0]),
            "shape": _shape(inputs),
            "threads": self.threads,
            "precision": self.precision,
        }
        arguments = arguments_of(self.command, values)
        for call in range(1, CALLS + 1):
            try:
                return _milliseconds(arguments, self.timeout_s)
            except TrialError:
                if call == CALLS:
                    raise
        raise AssertionError

    def operators(self) -> list[str]:
        return self.local.operators()

    def quantizations(self) -> int | None:
        return self.local.quantizations()

    def layers(self) -> dict[str, Precision]:
        return self.local.layers()


@dataclass(frozen=True)
class Command:
    """The runtime of one command."""

    command: str
    timeout_s: float
    local: Runtime

    def precisions(self) -> tuple[Precision, ...]:
        return self.local.precisions()

    def describe(self, precision: Precision) -> str:
        return json.dumps(
            {"engine": NAME, "command": self.command, "local": self.local.describe(precision)}
        )

    def prepare(self, folder: Path, precision: Precision) -> None:
        self.local.prepare(folder, precision)

    def files(self, precision: Precision) -> tuple[str, ...]:
        return self.local.files(precision)

    def load(self, folder: Path, precision: Precision, threads: int) -> CommandEngine:
        local = self.local.load(folder, precision, threads)
        return CommandEngine(self.command, self.timeout_s, folder, precision, threads, local)
