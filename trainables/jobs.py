"""What the driver asks of workers. The driver imports this module and never paddle: whatever
needs paddle is imported inside, on the worker. Arguments and results are plain values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.node import Node, RunFiles
from trainables.settings import BASELINE, MODEL, TrialSettings, candidate_name

if TYPE_CHECKING:
    from spaces.plan import Precision
    from trainables.context import TrialContext
    from trainables.latency import RunTimes


def baseline_job(settings: TrialSettings, node: Node | None = None) -> dict[str, Any]:
    """Return `Baseline.to_json()`; its export stays in the run folder."""
    from dataclasses import replace

    from trainables.baseline import measure_baseline
    from trainables.loading import study_task
    from trainables.remarks import collected

    files = (node or Node()).files
    with collected() as remarks:
        found = measure_baseline(study_task(settings, files), settings)
    files.keep(settings.folder, BASELINE)
    return replace(found, remarks=tuple(remarks)).to_json()


def sensitivity_job(
    settings: TrialSettings,
    baseline: dict[str, Any],
    node: Node,
    group: str,
    ratios: list[float],
) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of one group's sensitivity, and whether they came from the cache."""
    from trainables.cache import JsonCache
    from trainables.compression.sensitivity import cached_group_sensitivity
    from trainables.loading import study_task

    rows, cached = cached_group_sensitivity(
        JsonCache(settings.cache / "sensitivity"),
        baseline["fingerprint"],
        lambda: study_task(settings, node.files),
        group,
        ratios,
        baseline["metric"],
        settings.eval_batch,
        settings.threads,
        settings.criterion,
    )
    return [row.to_json() for row in rows], cached


def _context(settings: TrialSettings, baseline: dict[str, Any], node: Node) -> TrialContext:
    from trainables.baseline import Baseline
    from trainables.context import TrialContext

    return TrialContext(settings, Baseline.from_json(baseline), node)


def reference_job(
    settings: TrialSettings,
    baseline: dict[str, Any],
    node: Node,
    plans: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows of `time_references`; the exports stay in the run folder."""
    from spaces.plan import Plan
    from trainables.shapes import time_references

    context = _context(settings, baseline, node)
    return time_references([Plan.from_json(item) for item in plans], context)


def latency_job(
    settings: TrialSettings,
    baseline: dict[str, Any],
    node: Node,
    plans: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return a reading for every plan's shape, untrained, or the `reason` why there is none."""
    from spaces.errors import one_line
    from spaces.plan import Plan
    from trainables.shapes import time_shape

    context = _context(settings, baseline, node)
    rows: list[dict[str, Any]] = []
    for item in plans:
        try:
            reading, reused = time_shape(Plan.from_json(item), context)
        except Exception as error:  # A shape that cannot be had does not end the study.
            rows.append({"plan": item, "reason": one_line(error)})
        else:
            rows.append({"plan": item, "reused": reused, **reading.to_json()})
    return rows


def groups_job(settings: TrialSettings) -> dict[str, Any]:
    """Return the pruning `groups`, each with the shapes it narrows, those `left_out`, and the
    `remarks` of the task and its weights."""
    from trainables.compression.groups import survey_groups
    from trainables.compression.proof import task_samples
    from trainables.loading import study_task
    from trainables.models import new_model
    from trainables.remarks import collected

    with collected() as remarks:
        task = study_task(settings)
        shapes = {name: list(p.shape) for name, p in new_model(task).named_parameters()}
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    return {
        "remarks": remarks,
        "groups": [
            {
                "name": group.name,
                "channels": group.channels,
                "unit": group.unit,
                "members": [[name, shapes[name]] for name in group.members],
            }
            for group in survey.groups
        ],
        "left_out": [{"name": item.name, "reason": item.reason} for item in survey.left_out],
    }


def trial_job(
    settings: TrialSettings, baseline: dict[str, Any], node: Node, plan: dict[str, Any]
) -> dict[str, Any]:
    """Return `TrialResult.to_json()` of one plan; its export stays in the folder of candidate 0."""
    from spaces.plan import Plan
    from trainables.trial import run_trial

    context = _context(settings, baseline, node)
    *_, result = run_trial(0, Plan.from_json(plan), context)
    return result.to_json()


def final_job(
    settings: TrialSettings, node: Node, plan: dict[str, Any], name: str = MODEL
) -> dict[str, Any]:
    """Return the figures of the delivered model, by its name in the run, beside the baseline's.

    The only place where the test split is read, and each model reads it once.
    """
    import numpy as np

    from spaces.plan import Plan
    from trainables.baseline import load_engine
    from trainables.compression.quantization import first_samples
    from trainables.engine import Engine, engine_name, size_bytes, switches
    from trainables.evaluation import evaluate
    from trainables.latency import FINAL, read_latency, time_in_turn
    from trainables.loading import study_task
    from trainables.metrics import loss_standard_error, metric_value, relative_loss

    for needed in (BASELINE, name):
        node.files.fetch(settings.folder, needed)
    task = study_task(settings, node.files)
    precision = Plan.from_json(plan).quantization.precision
    winner_folder = settings.folder / name
    winner = Engine(winner_folder, precision, settings.threads, settings.engine)
    baseline = load_engine(settings)
    # No reference between them: this is how many times faster the one is than the other.
    runs_ms = time_in_turn(
        [winner, baseline],
        first_samples(task, settings.latency_batch),
        node.lease,
        FINAL.times(settings.latency_effort),
    )
    reading = read_latency(
        runs_ms,
        [1.0],
        baseline_ms=float(np.median(runs_ms[:, 1])),
        batch_size=settings.latency_batch,
        threads=settings.threads,
    )
    before = evaluate(baseline.run, task, "test", settings.eval_batch)
    after = evaluate(winner.run, task, "test", settings.eval_batch)
    baseline_test, winner_test = (metric_value(task.metric, rows) for rows in (before, after))
    return {
        "baseline_test": baseline_test,
        "winner_test": winner_test,
        "metric_loss_test": relative_loss(task.metric, baseline_test, winner_test),
        "standard_error_test": loss_standard_error(task.metric, before, after),
        "latency": reading.to_json(),
        "size_bytes": {
            "baseline": size_bytes(settings.baseline_folder),
            "winner": size_bytes(winner_folder),
        },
        "engine": engine_name(settings.engine),
        "engine_config": switches(precision, settings.engine),
        "int8_operators": winner.int8_operators,
    }


def timing_job(
    settings: TrialSettings,
    files: RunFiles,
    plan: dict[str, Any],
    folders: list[str],
    warmup: int,
    runs: int,
) -> list[RunTimes]:
    """Return the times of the float baseline and of the plan's model, in that order."""
    from spaces.plan import Plan
    from trainables.compression.quantization import first_samples
    from trainables.engine import Engine
    from trainables.latency import mean_of_runs
    from trainables.loading import study_task

    inputs = first_samples(study_task(settings, files), settings.latency_batch)
    precisions: tuple[Precision, Precision] = (
        "float",
        Plan.from_json(plan).quantization.precision,
    )
    return [
        mean_of_runs(
            Engine(Path(folder), precision, settings.threads, settings.engine),
            *(inputs, warmup, runs),
        )
        for folder, precision in zip(folders, precisions, strict=True)
    ]


def reexport_job(
    settings: TrialSettings,
    baseline: dict[str, Any],
    node: Node,
    plan: dict[str, Any],
    number: int,
    out: str,
) -> dict[str, Any]:
    """Write the model of a finished trial anew from its plan and weights; return its measurement.

    What was trained under quantization is copied: its scales are in the export alone.
    """
    import shutil

    from spaces.plan import Plan
    from trainables.compression.pruning import pruned_model
    from trainables.compression.quantization import export_candidate
    from trainables.engine import MODEL_FILE, WEIGHTS_FILE, Engine
    from trainables.trial import WEIGHTS
    from trainables.weights import load_weights

    context = _context(settings, baseline, node)
    node.files.fetch(settings.folder, candidate_name(number))
    chosen, target = Plan.from_json(plan), Path(out)
    source = settings.candidate_folder(number)
    if chosen.quantization.is_trained:
        target.mkdir(parents=True, exist_ok=True)
        for name in (MODEL_FILE, WEIGHTS_FILE):
            shutil.copy2(source / name, target / name)
        precision = chosen.quantization.precision
        engine = Engine(target, precision, settings.threads, settings.engine)
    else:
        model = pruned_model(context.task, chosen, settings.criterion)
        load_weights(model, source / WEIGHTS)
        engine, _ = export_candidate(
            model, chosen.quantization, None, context.task, settings, target
        )
    measured: dict[str, Any] = vars(context.measure(engine.run, "quantize", 0, 1.0))
    return measured


def onnx_job(
    settings: TrialSettings, files: RunFiles, plan: dict[str, Any], folder: str, target: str
) -> dict[str, Any]:
    """Write an exported model as ONNX; return its `difference` and `size_bytes`."""
    from spaces.plan import Plan
    from trainables.compression.quantization import CHECKED_SAMPLES, first_samples
    from trainables.loading import study_task
    from trainables.onnx_export import export_onnx

    inputs = first_samples(study_task(settings, files), CHECKED_SAMPLES)
    precision = Plan.from_json(plan).quantization.precision
    difference = export_onnx(Path(folder), Path(target), inputs, precision, settings.threads)
    return {"difference": difference, "size_bytes": Path(target).stat().st_size}


def node_job(settings: TrialSettings, node: Node) -> str | None:
    """Return why the task cannot be loaded on this node, or draw no batch; None if it can."""
    from spaces.errors import SearchError, one_line
    from trainables.loading import study_task

    try:
        task = study_task(settings, node.files)
        for batches in (
            task.train_batches(task.recipe.batch_size, settings.seed),
            task.eval_batches("val", 1),
        ):
            next(iter(batches), None)
    except SearchError as error:
        return str(error)
    except Exception as error:  # Whatever a user's task raises.
        return one_line(error)
    return None


def check_task_job(settings: TrialSettings) -> list[dict[str, Any]]:
    """Return every demand of the Task contract with whether it is met, and in words why not."""
    from trainables import task_folder
    from trainables.checking import check_task

    task_folder.enter(settings)
    return [demand.to_json() for demand in check_task(settings.task, settings.task_options)]
