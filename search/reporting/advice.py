"""What a run's numbers mean, and the commands that can follow."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from search.console import percent, ratio_text
from search.records.manifest import Manifest
from spaces.goal import BETTER
from trainables.results import Baseline

# Latency ratio from which a delivered model has gained nothing: the final timing varies by 1 to 2 %
# (LOG: a third reference), and a smaller gain is not worth a deployment.
GAIN = 0.95
# Budget use below which the closing lines say why, if they can: what is aimed at. A guess.
LITTLE_USE = 0.8


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


def nothing_to_prune(baseline: Baseline) -> str | None:
    """Return what is searched of a model without groups and branches; None if it has any."""
    if baseline.groups or baseline.branches:
        return None
    return "NOTHING CAN BE PRUNED in this model: the search chooses its precision only."


def as_timed(batch: int, threads: int) -> str:
    """Return the batch size and threads that a latency holds for, in words."""
    return f"batches of {batch}, {threads} thread{'' if threads == 1 else 's'}"


def size_text(shape: Sequence[int | None]) -> str:
    """Return the shape of an input, as 3 x 480 x 640."""
    return " x ".join(str(size) for size in shape if size is not None)


def ratios_by_size(manifest: Manifest) -> list[tuple[str, str]]:
    """Return each size that was timed with its latency ratio, in words; none if there was one."""
    sized = [spec for spec in (manifest.input, *manifest.more_inputs) if spec.more_shapes]
    shapes = [shape for spec in sized[:1] for shape in (spec.shape, *spec.more_shapes)]
    ratios = zip(shapes, manifest.latency_ms.ratios, strict=False)
    return [(size_text(shape), ratio_text(ratio)) for shape, ratio in ratios]


def sizes_line(manifest: Manifest) -> str | None:
    """Return the latency ratio at each size that was timed; None if there was one."""
    each = ", ".join(f"{ratio} at {size}" for size, ratio in ratios_by_size(manifest))
    return f"latency ratios by size, of which it is the mean: {each}" if each else None


def batch_hint(batch: int, threads: int) -> str:
    """Return the conditions of a run's latencies, and how to get those of single samples."""
    hint = "" if batch == 1 else "; -o latency_batch=1 if you deploy single samples"
    return f"All latencies are of {as_timed(batch, threads)}{hint}."


def no_gain(manifest: Manifest) -> str | None:
    """Return a warning with advice if the delivered model is no better in what was minimized; None
    if it is."""
    ratio = manifest.ratio()
    if ratio is None or ratio <= GAIN:
        return None
    verb = "takes" if manifest.objective == "latency" else "has"
    what = {"latency": "time", "size": "size", "multiply_adds": "multiply-adds"}[manifest.objective]
    return (
        f"NOTHING GAINED: the delivered model {verb} {ratio:.2f} of the unpruned one's {what}, and "
        "no better trial kept the budget. Give a larger --budget, more --trials or more "
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
        line += (
            f"; nothing {BETTER[manifest.objective]} exists here, every group is pruned as far as "
            "the space allows"
        )
    return line


class Gains(NamedTuple):
    """How much less the delivered model costs than the baseline, with the bounds, in words."""

    latency: str
    size: str
    multiply_adds: str | None
    """None where something else was minimized."""


def gains(manifest: Manifest) -> Gains:
    latency, size, adds = manifest.latency_ms, manifest.size_bytes, manifest.multiply_adds
    max_ms, max_bytes = manifest.max_latency_ms, manifest.max_size_bytes
    fewer = None
    if manifest.objective == "multiply_adds" and adds is not None:
        fewer = f"{adds.baseline / adds.winner:.1f}x fewer"
    return Gains(
        f"{1 / latency.ratio:.1f}x faster" + (f", bound {max_ms:g} ms" if max_ms else ""),
        f"{size.baseline / size.winner:.1f}x smaller"
        + (f", bound {max_bytes / 1e3:,.0f} kB" if max_bytes else ""),
        fewer,
    )


def speedup_line(manifest: Manifest) -> str | None:
    """Return what the engine and compression gain, each; None where there is no other engine."""
    found = manifest.speedup
    if found is None:
        return None
    return (
        f"{found.together:.1f}x faster than the unpruned float model on Paddle Inference: "
        f"{found.by_engine:.2f}x by the engine ({manifest.latency_ms.engine}), "
        f"{found.by_compression:.1f}x by compression"
    )


def winner_lines(manifest: Manifest, trial: int, is_floor: bool = False) -> list[str]:
    """Return the winner's figures, and warnings if it misses the budget or a bound, or gains
    nothing."""
    figures, size, latency = manifest.metric, manifest.size_bytes, manifest.latency_ms
    fewer = gains(manifest).multiply_adds
    lines = [
        f"\nwinner: trial {trial}, latency {ratio_text(latency.ratio)} at "
        f"{as_timed(latency.batch_size, latency.threads)}, size "
        f"{size.baseline / size.winner:.1f}x smaller, "
        f"{'' if fewer is None else f'multiply-adds {fewer}, '}"
        f"{figures.name} {figures.baseline_test:.4f} to {figures.winner_test:.4f} on test "
        f"({percent(figures.loss_test)} loss, budget {percent(manifest.budget)})"
    ]
    more = [sizes_line(manifest), speedup_line(manifest), budget_use_line(manifest, is_floor)]
    lines += filter(None, more)
    if not figures.within_budget_on_test:
        lines.append(
            "MISSED: on the test split the model loses more than the budget, though it kept it on "
            "validation. The search never saw the test split, so this is the model's true loss."
        )
    lines += [f"MISSED: {missed}" for missed in manifest.missed()]
    nothing = no_gain(manifest)
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
