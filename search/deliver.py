"""The delivered model: its files, its figures on the test split, its manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from search.context import StudyContext
from search.ledger import Ledger
from search.manifest import (
    InputFigures,
    LatencyFigures,
    Manifest,
    MetricFigures,
    Retrained,
    SizeFigures,
    TrialFigures,
    digests,
    installed_versions,
)
from search.run_folder import MANIFEST, MODEL_FILES, PLAN, run_once
from search.workers import call_worker
from spaces.errors import RunFolderError
from trainables.jobs import final_job
from trainables.settings import BASELINE, MODEL, retrained_name


def copy_model(source: Path, target: Path) -> None:
    """Copy the exported files; the folder appears whole or not at all.

    Raises RunFolderError if another model is there: it would be delivered in this one's place.
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
    for name in MODEL_FILES:
        shutil.copy2(source / name, temporary / name)
    temporary.rename(target)


def _digests(folder: Path) -> dict[str, str]:
    return digests(folder, [folder / name for name in MODEL_FILES if (folder / name).is_file()])


def _input_figures(spec: dict[str, Any]) -> InputFigures:
    return InputFigures(
        name=spec["name"],
        shape=[None, *spec["shape"]],
        dtype=spec["dtype"],
        layout=spec["layout"],
        channel_order=spec["channel_order"],
        scale=spec["scale"],
        mean=list(spec["mean"]),
        std=list(spec["std"]),
        image=spec.get("image"),
    )


def deliver(
    study: StudyContext,
    baseline: dict[str, Any],
    ledger: Ledger,
    winner: dict[str, Any],
    repeats: int,
    part: str = "",
) -> Manifest:
    """Return the manifest, written last: a run that has one is finished.

    `part` is a folder of the run for another choice of its, empty or with "/" at its end.
    """
    config, run, files = study.config, study.run, study.node.files
    root = run.path / part
    with study.display.waiting("the winner's files"):
        for name in (BASELINE, retrained_name(winner["trial"])):
            files.fetch(run.path, name)
    copy_model(run.path / retrained_name(winner["trial"]), root / MODEL)
    files.keep(run.path, f"{part}{MODEL}")
    run.keep_text(f"{part}{PLAN}", json.dumps(winner["plan"], indent=1))

    def measure() -> dict[str, Any]:
        placed = study.placement(timed=True)
        model = f"{part}{MODEL}"
        measured: dict[str, Any] = call_worker(
            study.display,
            "the last timing and the test split",
            *(final_job, study.settings, study.node, winner["plan"], model),
            **placed,
        )
        return measured

    # Kept at once: the test split is not read again, whatever happens after this.
    final = run_once(run, f"{part}final", measure)
    reading = final["latency"]
    row = {"number": winner["trial"], "stage": "final", "reused": False, **reading}
    study.store.write("latency", f"{part}final".replace("/", "-"), [row])
    states = [record.result.state for record in ledger.records.values()]
    first, *more = (_input_figures(spec) for spec in baseline["inputs"])
    if part:
        copy_model(run.path / BASELINE, root / BASELINE)
        files.keep(run.path, f"{part}{BASELINE}")
    delivered = [root / one / name for one in (MODEL, BASELINE) for name in MODEL_FILES]
    retries, lost_s = ledger.lost()
    manifest = Manifest(
        task=config.task,
        budget=config.budget,
        seed=config.seed,
        versions=installed_versions(),
        metric=MetricFigures(
            name=baseline["metric_name"],
            maximize=baseline["maximize"],
            baseline_val=baseline["metric"],
            baseline_test=final["baseline_test"],
            winner_val=winner["metric"],
            winner_test=final["winner_test"],
            loss_val=winner["metric_loss"],
            loss_val_standard_error=winner["standard_error"],
            loss_test=final["metric_loss_test"],
            loss_test_standard_error=final["standard_error_test"],
            within_budget_on_test=final["metric_loss_test"] <= config.budget,
        ),
        latency_ms=LatencyFigures(
            baseline=reading["baseline_latency_ms"],
            winner=reading["latency_ms"],
            ratio=reading["ratio"],
            batch_size=reading["batch_size"],
            threads=reading["threads"],
            engine=final["engine"],
        ),
        size_bytes=SizeFigures(**final["size_bytes"]),
        trials=TrialFigures(
            finished=len(states),
            complete=states.count("COMPLETE"),
            feasible=len(ledger.feasible()),
            failed=states.count("FAILED"),
            repeats=repeats,
            retries=retries,
            lost_s=lost_s,
        ),
        retrained=[
            Retrained(
                trial=tried["trial"],
                metric_val=tried["metric"],
                loss_val=tried["metric_loss"],
                standard_error=tried["standard_error"],
                accepted=tried["accepted"],
            )
            for tried in winner["tried"]
        ],
        input=first,
        more_inputs=more,
        engine_config=final["engine_config"],
        int8_operators=final["int8_operators"],
        stages_s=study.display.seconds(),
        sha256=digests(root, [*delivered, root / PLAN]),
    )
    run.keep_journal()
    run.keep_text(f"{part}{MANIFEST}", manifest.model_dump_json(indent=1))
    return manifest
