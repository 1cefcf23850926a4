"""The jobs that the driver gives to workers, a function each.

The driver imports this module but never paddle: the functions import what needs paddle, on the
worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.mixing import LayerCost, WholeInt8
from spaces.plan import Plan
from trainables.files.node import Node, RunFiles
from trainables.listings import Demand, GroupList
from trainables.results import (
    Baseline,
    EngineTime,
    FinalFigures,
    Measurement,
    OnnxFile,
    Reference,
    Sensitivity,
    TimedShape,
    TrialResult,
    Untimed,
)
from trainables.run_times import SizeTimes
from trainables.settings import BASELINE, MODEL, TrialSettings

if TYPE_CHECKING:
    from spaces.plan import Precision
    from trainables.context import TrialContext
    from trainables.deployment.engines.registry import LocalKind

RETRAIN_JOB = "job"
"""The key of a RetrainJob in the configuration of a Ray Train loop."""


def _context(settings: TrialSettings, baseline: Baseline, node: Node) -> TrialContext:
    from trainables.context import TrialContext

    return TrialContext(settings, baseline, node)


def baseline_job(settings: TrialSettings, node: Node | None = None) -> Baseline:
    """Measure the baseline; its export stays in the run folder."""
    from dataclasses import replace

    from trainables.baseline import measure_baseline
    from trainables.loading import study_task
    from trainables.remarks import collected

    files = (node or Node()).files
    with collected() as remarks:
        found = measure_baseline(study_task(settings, files), settings)
    files.upload(settings.folder, BASELINE)
    return replace(found, remarks=tuple(remarks))


def engines_job(
    settings: TrialSettings,
    node: Node,
    kinds: Sequence[LocalKind] | None,
    precisions: Sequence[Precision],
) -> list[EngineTime]:
    """Return what `time_engines` returns; for None, of all installed engines of the CPU."""
    from trainables.deployment.engines.registry import installed
    from trainables.engine_times import time_engines
    from trainables.loading import study_task

    task = study_task(settings, node.files)
    return time_engines(task, settings, kinds or installed(), precisions, node.lease)


def sensitivity_job(
    settings: TrialSettings, baseline: Baseline, node: Node, curves: dict[str, list[float]]
) -> dict[str, tuple[list[Sensitivity], bool]]:
    """Return each group's sensitivities at its ratios, and whether they came from the cache.

    The model is built once for all groups that are not in the cache.
    """
    from trainables.compression.sensitivity import SensitivityProbe, cached_sensitivities
    from trainables.files.cache import JsonCache
    from trainables.loading import study_task

    every = max(1, round(1 / settings.sensitivity_share))

    def probe() -> SensitivityProbe:
        task = study_task(settings, node.files)
        return SensitivityProbe(
            task, settings.eval_batch, settings.threads, settings.criterion, every
        )

    return cached_sensitivities(
        JsonCache(settings.cache / "sensitivity"),
        baseline.fingerprint,
        probe,
        curves,
        baseline.metric,
        settings.criterion,
        every,
    )


def export_job(
    settings: TrialSettings, baseline: Baseline, node: Node, plans: Sequence[Plan]
) -> list[Untimed]:
    """Return what `export_references` returns; the exports stay in the run folder."""
    from trainables.shapes import export_references

    return export_references(plans, _context(settings, baseline, node))


def reference_job(
    settings: TrialSettings, baseline: Baseline, node: Node, plans: Sequence[Plan]
) -> list[Reference | Untimed]:
    """Return what `time_references` returns for plans that `export_job` has exported."""
    from trainables.shapes import time_references

    return time_references(plans, _context(settings, baseline, node))


def latency_job(
    settings: TrialSettings, baseline: Baseline, node: Node, plans: Sequence[Plan]
) -> list[TimedShape | Untimed]:
    """Return what `time_shapes` returns."""
    from trainables.shapes import time_shapes

    return time_shapes(plans, _context(settings, baseline, node))


def int8_job(
    settings: TrialSettings, baseline: Baseline, node: Node
) -> tuple[WholeInt8, list[LayerCost]]:
    """Return what `measure_int8` returns."""
    from trainables.layer_costs import measure_int8

    return measure_int8(_context(settings, baseline, node))


def layers_job(
    settings: TrialSettings, baseline: Baseline, node: Node, layers: Sequence[str]
) -> list[tuple[LayerCost, bool]]:
    """Return what `measure_layers` returns."""
    from trainables.layer_costs import measure_layers

    return measure_layers(layers, _context(settings, baseline, node))


def groups_job(settings: TrialSettings) -> GroupList:
    """Return the pruning groups of the task's model, and the excluded ones."""
    from dataclasses import replace

    from trainables.compression.graph.groups import list_groups
    from trainables.loading import study_task
    from trainables.remarks import collected

    with collected() as remarks:
        found = list_groups(study_task(settings))
    return replace(found, remarks=tuple(remarks))


def trial_job(settings: TrialSettings, baseline: Baseline, node: Node, plan: Plan) -> TrialResult:
    """Run one plan to its end; its export stays in the folder of candidate 0."""
    from trainables.trial import run_trial

    *_, result = run_trial(0, plan, _context(settings, baseline, node))
    return result


def final_job(settings: TrialSettings, node: Node, plan: Plan, name: str = MODEL) -> FinalFigures:
    """Return what `measure_final` returns."""
    from trainables.final import measure_final

    return measure_final(settings, node, plan, name)


@dataclass(frozen=True)
class RetrainJob:
    """The job of every worker of a retrain."""

    settings: TrialSettings
    baseline: Baseline
    node: Node
    plan: Plan
    number: int
    level: int
    """The trial's number and its last level; the retrain starts from those weights."""


def retrain_loop(config: Mapping[str, RetrainJob]) -> None:
    """Retrain one candidate; every worker of a Ray Train job runs this.

    `config` has the job under RETRAIN_JOB. Worker 0 writes the export and OUTCOME to the run's
    folder.
    """
    from trainables.retrain import Retrain

    Retrain(config[RETRAIN_JOB]).run()


def timing_job(
    settings: TrialSettings,
    files: RunFiles,
    plan: Plan,
    folders: list[str],
    warmup: int,
    runs: int,
) -> list[SizeTimes]:
    """Return the times of the float baseline and of the plan's model at each size."""
    from trainables.deployment.engines.registry import load_engine
    from trainables.evaluation import timed_batches
    from trainables.loading import study_task
    from trainables.probe import mean_of_runs
    from trainables.task import timed_shapes

    task = study_task(settings, files)
    precisions: tuple[Precision, Precision] = ("float", plan.quantization.precision)
    engines = [
        load_engine(Path(folder), precision, settings)
        for folder, precision in zip(folders, precisions, strict=True)
    ]
    batches = timed_batches(task, settings.latency_batch)
    return [
        SizeTimes(shapes, *(mean_of_runs(engine, inputs, warmup, runs) for engine in engines))
        for shapes, inputs in zip(timed_shapes(task.inputs), batches, strict=True)
    ]


def reexport_job(
    settings: TrialSettings,
    baseline: Baseline,
    node: Node,
    plan: Plan,
    model: tuple[int, int],
    out: str,
) -> Measurement:
    """Export a model to the folder `out`; return its measurement. `model`: its trial and level."""
    from trainables.trial import reexport

    return reexport(plan, *model, Path(out), _context(settings, baseline, node))


def onnx_job(
    settings: TrialSettings, files: RunFiles, plan: Plan, folder: str, target: str
) -> OnnxFile:
    """Write an exported model as ONNX."""
    from trainables.compression.quantization import CHECKED_SAMPLES
    from trainables.deployment.onnx_export import export_onnx
    from trainables.evaluation import first_samples
    from trainables.loading import study_task

    inputs = first_samples(study_task(settings, files), CHECKED_SAMPLES)
    precision = plan.quantization.precision
    difference = export_onnx(Path(folder), Path(target), inputs, precision, settings.threads)
    return OnnxFile(difference, Path(target).stat().st_size)


def node_job(settings: TrialSettings, node: Node) -> str | None:
    """Return why the task cannot be loaded or draw a batch on this node; None if it can."""
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
    except Exception as error:  # A user's task may raise any type.
        return one_line(error)
    return None


def check_task_job(settings: TrialSettings) -> list[Demand]:
    """Return what `check_task` returns."""
    from trainables.checking import check_task
    from trainables.files import task_folder

    task_folder.enter(settings)
    return check_task(settings.task, settings.task_options)
