"""What a run's numbers mean, how long it will take, and what can be done with it next."""

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
from trainables.results import Baseline

# For a first guess, of the built-in problem: what pruned models take of the unpruned one's time to
# train, what training under quantization takes of the float one's, how many trials do that, and
# the seconds of a trial that neither train nor evaluate.
PRUNED_PACE = 0.4
QAT_PACE = 2.0
QAT_TRIALS = 0.3
OTHER_S = 6.0
# For a first guess too: seconds to load an engine, to export and time a shape, and how many shapes
# are references. Two cores took 10 s for the references of LeNet and 5 s for three shapes.
ENGINE_S = 0.2
SHAPE_S = 1.7
REFERENCES = 8


# A delivered model that takes more than this share of the baseline's time has gained nothing: the
# last timing's spread is one to two parts in a hundred (LOG.md), and nobody deploys for less.
GAIN = 0.95


class Step(NamedTuple):
    what: str
    command: str
    """A line that can be pasted."""


def worst_allowed(baseline: Baseline, budget: float) -> float:
    """Return the metric on validation at which the budget is used up."""
    metric = baseline.metric
    change = budget * abs(metric)
    return metric - change if baseline.maximize else metric + change


def budget_in_numbers(baseline: Baseline, budget: float) -> str:
    """Return what the budget means for this model, as a sentence."""
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
    """How long a search will take, before it has begun; seconds."""

    trial_s: float
    search_s: float
    retrain_s: float

    def in_words(self, trials: int, places: int) -> str:
        return (
            f"about {minutes(self.search_s + self.retrain_s)}: {trials} trials of "
            f"{self.trial_s:.0f} s, {places} at a time, and a retrain of {minutes(self.retrain_s)}"
        )


def minutes(seconds: float) -> str:
    """Return "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(
    config: RunConfig, baseline: Baseline, trials: int, places: int, workers: int
) -> Estimate:
    """Return how long so many trials take, `places` at a time, and the retrain of one candidate.

    From the unpruned model's own pace; what trials do to it nobody knows yet.
    """
    pace = PRUNED_PACE * baseline.train_s
    batch = config.batch_size or 1
    samples = config.finetune_steps * batch if config.finetune_steps else config.finetune_samples
    trained = samples + QAT_TRIALS * QAT_PACE * config.qat_samples
    evaluations = len(config.rungs) + 1
    trial_s = trained * pace + evaluations * baseline.evaluate_s + OTHER_S
    retrained = config.retrain_samples + QAT_TRIALS * QAT_PACE * config.retrain_qat_samples
    return Estimate(
        trial_s=trial_s,
        search_s=trial_s * trials / min(places, max(1, trials)),
        retrain_s=retrained * pace / workers + baseline.evaluate_s + OTHER_S,
    )


def survey_seconds(config: RunConfig, baseline: Baseline, groups: int, places: int) -> float:
    """Return how long what is measured between the baseline and the search takes, uncached."""
    evaluations = groups * config.sensitivity_points
    evaluate_s = baseline.evaluate_s + ENGINE_S
    shapes = REFERENCES + config.latency_points / places
    return evaluations * evaluate_s / places + shapes * SHAPE_S


def as_timed(batch: int, threads: int) -> str:
    """Return what a latency was timed with: it holds for nothing else."""
    return f"batches of {batch}, {threads} thread{'' if threads == 1 else 's'}"


def batch_hint(batch: int, threads: int) -> str:
    """Return what all latencies of a run are of, and how to have those of single samples."""
    hint = "" if batch == 1 else "; -o latency_batch=1 if you deploy single samples"
    return f"All latencies are of {as_timed(batch, threads)}{hint}."


def no_gain(ratio: float) -> str | None:
    """Return that a delivered model is no faster, and what may help; None if it is."""
    if ratio <= GAIN:
        return None
    return (
        f"NOTHING GAINED: the delivered model takes {ratio:.2f} of the unpruned one's time, and no "
        "faster trial kept the budget. Give a larger --budget, more --trials or more "
        "-o finetune_samples."
    )


def winner_lines(manifest: Manifest, trial: int, budget: float) -> list[str]:
    """Return what was delivered, and that it misses the budget, or gains nothing, if so."""
    figures, size, latency = manifest.metric, manifest.size_bytes, manifest.latency_ms
    lines = [
        f"\nwinner: trial {trial}, latency {ratio_text(latency.ratio)} at "
        f"{as_timed(latency.batch_size, latency.threads)}, size "
        f"{size.baseline / size.winner:.1f}x smaller, "
        f"{figures.name} {figures.baseline_test:.4f} to {figures.winner_test:.4f} on test "
        f"({percent(figures.loss_test)} loss, budget {percent(budget)})"
    ]
    if not figures.within_budget_on_test:
        lines.append(
            "MISSED: on the test split the model loses more than the budget. It kept it on "
            "validation; the test split is not searched on, so this is the model's true figure."
        )
    nothing = no_gain(latency.ratio)
    return lines if nothing is None else [*lines, nothing]


def interpreter() -> str:
    """Return what the shell calls this Python by: "python" if it finds it by that name."""
    found = shutil.which("python")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "python"
    return os.path.relpath(sys.executable)


def next_steps(address: str, finished: bool, journal: Path | None = None) -> list[Step]:
    """Return what can be done with a run, the most usual first, as lines for a shell.

    `journal` is this machine's copy of Optuna's file, where there is one: its dashboard opens
    no URIs.
    """
    python, address = shlex.quote(interpreter()), shlex.quote(address)
    if not finished:
        return [Step("carry it on", f"{python} -m search.run --resume {address}")]
    steps = [
        Step(
            "choose another point of its front",
            f"{python} -m search.select {address} --budget 0.02",
        ),
        Step("time it also at batch 1, as the toolkits do", f"{python} -m search.timing {address}"),
        Step("have it as ONNX", f"{python} -m search.to_onnx {address}"),
    ]
    if find_spec("optuna_dashboard") is not None and journal is not None:
        command = f"optuna-dashboard {shlex.quote(str(journal))}"
        steps.append(Step("see what Optuna sampled", command))
    return steps
