"""The delivered model: its files, its figures on the test split, its manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

from search.context import StudyContext
from search.records.columns import cells
from search.records.ledger import Ledger
from search.records.manifest import (
    EngineFigures,
    FloatLayers,
    InputFigures,
    LatencyFigures,
    Manifest,
    MetricFigures,
    MultiplyAddsFigures,
    RetrainedFigures,
    SizeFigures,
    TrialFigures,
    digests,
    installed_versions,
)
from search.records.run_folder import MANIFEST, PLAN, run_once
from search.records.stage_files import Retrained, Winner
from search.workers import call_worker
from spaces.errors import RunFolderError
from spaces.plan import Plan
from trainables.deployment.deploy_file import DEPLOY_FILE, deploy_source
from trainables.deployment.exported import model_files
from trainables.files.codec import PlanField, encode
from trainables.jobs import final_job
from trainables.results import Baseline, EngineTime, FinalFigures
from trainables.settings import BASELINE, MODEL
from trainables.task import ModelInput


def copy_model(source: Path, target: Path) -> None:
    """Copy the exported files into a folder that appears whole or not at all.

    Raises RunFolderError if the folder holds another model.
    """
    if target.exists():
        if _digests(target) != _digests(source):
            raise RunFolderError(
                f"folder {target}: holds another model than {source}; move it away, then give the "
                "command again"
            )
        return
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in model_files(source):
        shutil.copy2(source / name, temporary / name)
    temporary.rename(target)


def _digests(folder: Path) -> dict[str, str]:
    files = [folder / name for name in model_files(folder)]
    return digests(folder, [file for file in files if file.is_file()])


def _input_figures(spec: ModelInput) -> InputFigures:
    changed = {
        "shape": [None, *spec.shape],
        "more_shapes": [[None, *shape] for shape in spec.more_shapes],
        "mean": [*spec.mean],
        "std": [*spec.std],
    }
    return InputFigures(**{**vars(spec), **changed})


def deliver(
    study: StudyContext,
    baseline: Baseline,
    ledger: Ledger,
    winner: Winner,
    repeats: int,
    part: str = "",
) -> Manifest:
    """Return the manifest, which is written last: a run that has one is finished.

    `part` is a folder of the run for another model of its front: empty, or ending in "/".
    """
    with study.stage("deliver", "time both, read the test split once, write the manifest"):
        _copy_winner(study, baseline, winner, part)
        # Persisted at once: the test split is read once, whatever happens later.
        final: FinalFigures = run_once(
            study.run, f"{part}final", lambda: _measure(study, winner, part)
        )
        row = {"number": winner.trial, "stage": "final", "reused": False, **cells(final.latency)}
        study.store.write("latency", f"{part}final".replace("/", "-"), [row])
        manifest = _manifest_of(study, baseline, ledger, winner, final, repeats, part)
        study.run.upload_journal()
        study.run.write_text(f"{part}{MANIFEST}", manifest.model_dump_json(indent=1))
    return manifest


def _copy_winner(study: StudyContext, baseline: Baseline, winner: Winner, part: str) -> None:
    """Copy the model's files and its plan, and write the file that runs it; into a `part` also the
    baseline's files."""
    run, files = study.run, study.node.files
    with study.display.waiting("the winner's files"):
        for name in (BASELINE, winner.folder):
            files.fetch(run.path, name)
    copy_model(run.path / winner.folder, run.path / part / MODEL)
    deploy = deploy_source(study.settings.evaluated_by, baseline.inputs)
    if deploy is not None:
        run.write_text(f"{part}{MODEL}/{DEPLOY_FILE}", deploy)
    files.upload(run.path, f"{part}{MODEL}")
    run.write_text(f"{part}{PLAN}", encode(PlanField, winner.plan, indent=1))
    if part:
        copy_model(run.path / BASELINE, run.path / part / BASELINE)
        files.upload(run.path, f"{part}{BASELINE}")


def _measure(study: StudyContext, winner: Winner, part: str) -> FinalFigures:
    found: FinalFigures = call_worker(
        study.display,
        "the last timing and the test split",
        *(final_job, study.settings, study.node, winner.plan, f"{part}{MODEL}"),
        on=study.placement(timed=True),
    )
    return found


def _manifest_of(
    study: StudyContext,
    baseline: Baseline,
    ledger: Ledger,
    winner: Winner,
    final: FinalFigures,
    repeats: int,
    part: str,
) -> Manifest:
    root = study.run.path / part
    delivered = [root / one / name for one in (MODEL, BASELINE) for name in model_files(root / one)]
    delivered += [path for path in (root / MODEL / DEPLOY_FILE, root / PLAN) if path.is_file()]
    first, *more = map(_input_figures, baseline.inputs)
    return Manifest(
        task=study.config.task,
        budget=study.config.budget,
        objective=study.config.objective,
        max_latency_ms=study.config.max_latency_ms,
        max_size_bytes=study.config.max_size_bytes,
        seed=study.config.seed,
        versions={**installed_versions(), **final.engine_versions},
        metric=_metric_figures(baseline, winner, final, study.config.budget),
        latency_ms=_latency_figures(final),
        speedup=_engine_figures(study, final),
        size_bytes=SizeFigures(**vars(final.size_bytes)),
        multiply_adds=multiply_adds_figures(ledger, winner.plan),
        trials=_trial_figures(ledger, repeats),
        retrained=[_retrained_figures(tried) for tried in winner.tried],
        input=first,
        more_inputs=more,
        engine_config=final.engine_config,
        engine_files=final.engine_files,
        evaluated_on=final.evaluated_on,
        int8_operators=final.int8_operators,
        deleted_passes=final.deleted_passes,
        float_layers=float_layers(winner.plan, final),
        stages_s=study.clock.seconds(),
        sha256=digests(root, delivered),
    )


def _metric_figures(
    baseline: Baseline, winner: Winner, final: FinalFigures, budget: float
) -> MetricFigures:
    return MetricFigures(
        name=baseline.metric_name,
        maximize=baseline.maximize,
        baseline_val=baseline.metric,
        baseline_test=final.baseline_test,
        winner_val=winner.metric,
        winner_test=final.winner_test,
        loss_val=winner.metric_loss,
        loss_val_standard_error=winner.standard_error,
        loss_val_margin=winner.margin,
        loss_test=final.metric_loss_test,
        loss_test_standard_error=final.standard_error_test,
        within_budget_on_test=final.metric_loss_test <= budget,
    )


def _latency_figures(final: FinalFigures) -> LatencyFigures:
    reading = final.latency
    return LatencyFigures(
        baseline=reading.baseline_latency_ms,
        winner=reading.latency_ms,
        ratio=reading.ratio,
        ratios=[*reading.ratios],
        batch_size=reading.batch_size,
        threads=reading.threads,
        engine=final.engine,
    )


def _engine_figures(study: StudyContext, final: FinalFigures) -> EngineFigures | None:
    times: list[EngineTime] = study.run.stage("engines") or []
    floats = {t.engine: t.latency_ms for t in times if t.precision == "float"}
    there, here = floats.get("onednn"), floats.get(study.config.engine)
    if there is None or here is None:
        return None
    by_engine, by_compression = there / here, 1 / final.latency.ratio
    return EngineFigures(
        by_engine=by_engine, by_compression=by_compression, together=by_engine * by_compression
    )


def multiply_adds_figures(ledger: Ledger, plan: Plan) -> MultiplyAddsFigures | None:
    """Return the multiply-adds of the baseline and of a plan; None if there are none."""
    whole, left = ledger.multiply_adds(Plan()), ledger.multiply_adds(plan)
    return MultiplyAddsFigures(baseline=whole, winner=left) if whole and left is not None else None


def float_layers(plan: Plan, final: FinalFigures) -> FloatLayers | None:
    """Return the layers that stay in float beside INT8; None if there are none."""
    if not plan.float_layers:
        return None
    return FloatLayers(names=plan.float_layers, precision=final.float_precision)


def _trial_figures(ledger: Ledger, repeats: int) -> TrialFigures:
    retries, lost_s = ledger.lost()
    return TrialFigures(
        finished=len(ledger.records),
        complete=len(ledger.complete()),
        feasible=len(ledger.feasible()),
        failed=len(ledger.failed()),
        repeats=repeats,
        retries=retries,
        lost_s=lost_s,
    )


def _retrained_figures(tried: Retrained) -> RetrainedFigures:
    return RetrainedFigures(
        trial=tried.trial,
        metric_val=tried.metric,
        loss_val=tried.metric_loss,
        standard_error=tried.standard_error,
        accepted=bool(tried.accepted),
    )
