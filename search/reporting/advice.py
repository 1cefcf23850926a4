"""What a run's numbers mean, how long a run takes, and the commands that can follow."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from search.config import RunConfig
from search.console import percent, ratio_text
from search.records.manifest import Manifest
from trainables.levels import REDUCTION, training_levels
from trainables.results import Baseline


@dataclass(frozen=True)
class Speeds:
    """Guesses for the estimate of a run's duration, from runs of the built-in task on two cores."""

    qat: float = 2.0
    """Time of a quantization-aware training step, as a multiple of a float step's."""
    qat_trials: float = 0.3
    """Share of the trials that train quantization-aware."""
    other_s: float = 3.0
    """Seconds of a level that are neither training nor evaluation."""
    final_s: float = 20.0
    """Seconds of the last timing."""
    engine_s: float = 0.2
    """Seconds to load an engine."""
    shape_s: float = 1.7
    """Seconds to export and time an untrained plan: LeNet took 5 s for three."""
    references: int = 8
    """Reference models that are timed: LeNet took 10 s for all."""


SPEEDS = Speeds()
# Latency ratio from which a delivered model has gained nothing: the final timing varies by 1 to 2 %
# (LOG: a third reference), and a smaller gain is not worth a deployment.
GAIN = 0.95
# Budget use below which the closing lines say why, if they can. A guess.
LITTLE_USE = 0.5


class Step(NamedTuple):
    what: str
    command: str
    """A line for a shell."""


def worst_allowed(baseline: Baseline, budget: float) -> float:
    """Return the metric on validation at which the budget is used up."""
    metric = baseline.metric
    change = budget * abs(metric)
    return metric - change if baseline.maximize else metric + change


def budget_in_numbers(baseline: Baseline, budget: float) -> str:
    """Return a sentence with the metric that the budget allows this model."""
    verb = "fall" if baseline.maximize else "rise"
    return (
        f"A budget of {budget:g}: {baseline.metric_name} may {verb} from "
        f"{baseline.metric:.4f} to {worst_allowed(baseline, budget):.4f} on validation, with "
        "everything pruned, trained and quantized."
    )


def chance_warning(baseline: Baseline) -> str | None:
    """Return a warning if the baseline does no better than a model that ignores its inputs."""
    if baseline.chance is None or not baseline.chance.reached:
        return None
    return baseline.chance.in_words(baseline.metric_name, baseline.metric)


@dataclass(frozen=True)
class Estimate:
    """How long a search will take, in seconds."""

    trial_s: float
    """One plan, up to its first measurement."""
    search_s: float
    """All plans."""
    promoted_s: float
    """Training the promising plans on."""
    final_s: float
    """The last timing and the test split."""

    @property
    def total_s(self) -> float:
        return self.search_s + self.promoted_s + self.final_s

    def in_words(self, trials: int, at_once: int) -> str:
        return (
            f"about {minutes(self.total_s)}: {trials} plans of {self.trial_s:.0f} s, {at_once} at "
            f"a time, and {minutes(self.promoted_s)} to train the promising ones on"
        )


def minutes(seconds: float) -> str:
    """Return "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(config: RunConfig, baseline: Baseline, trials: int, at_once: int) -> Estimate:
    """Return how long `trials` take, `at_once` at a time, with their promotions.

    It follows from the unpruned model's speed: every plan has the same compute.
    """
    qat = SPEEDS.qat_trials * SPEEDS.qat
    trial_s, *later_s = (
        (level.samples + qat * level.quantized_samples) * baseline.train_s
        + baseline.evaluate_s
        + SPEEDS.other_s
        for level in training_levels(config, baseline)
    )
    promoted_s = sum(
        seconds * (trials // REDUCTION ** (index + 1)) for index, seconds in enumerate(later_s)
    )
    finals_s = config.finalists * sum(later_s)
    return Estimate(
        trial_s=trial_s,
        search_s=trial_s * trials / min(at_once, max(1, trials)),
        promoted_s=(promoted_s + finals_s) / at_once,
        final_s=SPEEDS.final_s + 2 * baseline.evaluate_s,
    )


def survey_seconds(config: RunConfig, baseline: Baseline, groups: int, at_once: int) -> float:
    """Return the seconds of the measurements between baseline and search, if none is cached."""
    evaluations = groups * config.sensitivity_points
    evaluate_s = baseline.evaluate_s + SPEEDS.engine_s
    shapes = SPEEDS.references + config.latency_points / at_once
    return evaluations * evaluate_s / at_once + shapes * SPEEDS.shape_s


def as_timed(batch: int, threads: int) -> str:
    """Return the batch size and threads that a latency holds for, in words."""
    return f"batches of {batch}, {threads} thread{'' if threads == 1 else 's'}"


def batch_hint(batch: int, threads: int) -> str:
    """Return the conditions of a run's latencies, and how to get those of single samples."""
    hint = "" if batch == 1 else "; -o latency_batch=1 if you deploy single samples"
    return f"All latencies are of {as_timed(batch, threads)}{hint}."


def no_gain(ratio: float) -> str | None:
    """Return a warning with advice if the delivered model is no faster; None if it is."""
    if ratio <= GAIN:
        return None
    return (
        f"NOTHING GAINED: the delivered model takes {ratio:.2f} of the unpruned one's time, and no "
        "faster trial kept the budget. Give a larger --budget, more --trials or more "
        "-o finetune_samples."
    )


def budget_use_line(manifest: Manifest, is_floor: bool) -> str | None:
    """Return how much of the budget the delivered model uses; None if that cannot be said.

    `is_floor`: no plan of the space is smaller.
    """
    figures = manifest.metric
    use = figures.budget_use(manifest.budget)
    if use is None:
        return None
    line = (
        f"budget use {use:.2f} on validation: {percent(figures.loss_val)} loss and a margin of "
        f"{percent(figures.loss_val_margin)}"
    )
    if use < LITTLE_USE and is_floor:
        line += "; nothing faster exists here, every group is pruned as far as the space allows"
    return line


def winner_lines(
    manifest: Manifest, trial: int, budget: float, is_floor: bool = False
) -> list[str]:
    """Return the winner's figures, and warnings if it misses the budget or gains nothing."""
    figures, size, latency = manifest.metric, manifest.size_bytes, manifest.latency_ms
    lines = [
        f"\nwinner: trial {trial}, latency {ratio_text(latency.ratio)} at "
        f"{as_timed(latency.batch_size, latency.threads)}, size "
        f"{size.baseline / size.winner:.1f}x smaller, "
        f"{figures.name} {figures.baseline_test:.4f} to {figures.winner_test:.4f} on test "
        f"({percent(figures.loss_test)} loss, budget {percent(budget)})"
    ]
    used = budget_use_line(manifest, is_floor)
    if used is not None:
        lines.append(used)
    if not figures.within_budget_on_test:
        lines.append(
            "MISSED: on the test split the model loses more than the budget, though it kept it on "
            "validation. The search never saw the test split, so this is the model's true loss."
        )
    nothing = no_gain(latency.ratio)
    return lines if nothing is None else [*lines, nothing]


def interpreter() -> str:
    """Return the command for this Python: "python" if the shell finds it, else its path."""
    found = shutil.which("python")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "python"
    return os.path.relpath(sys.executable)


def next_steps(address: str, finished: bool, journal: Path | None = None) -> list[Step]:
    """Return what can be done with a run, the most common step first.

    `journal` is this machine's copy of Optuna's file, if any: its dashboard opens no URIs.
    """
    python, address = shlex.quote(interpreter()), shlex.quote(address)
    if not finished:
        return [Step("continue it", f"{python} -m search.run --resume {address}")]
    steps = [
        Step(
            "deliver another point of its front",
            f"{python} -m search.select {address} --budget 0.02",
        ),
        Step("time it at batch 1 too, as the toolkits do", f"{python} -m search.timing {address}"),
        Step("convert it to ONNX", f"{python} -m search.to_onnx {address}"),
    ]
    if find_spec("optuna_dashboard") is not None and journal is not None:
        command = f"optuna-dashboard {shlex.quote(str(journal))}"
        steps.append(Step("show what Optuna sampled", command))
    return steps
