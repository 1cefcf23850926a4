"""python -m search.report RUN: what a run has found so far, as a page, pictures and a few lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from clusters.storage import join
from search.cli.parser import command_parser, run_command
from search.console import Display, percent, trial_table
from search.records.folder import Folder
from search.records.manifest import Manifest
from search.records.run_folder import RunFolder
from search.reporting.advice import as_timed, no_gain
from search.reporting.findings import Findings, read_findings
from search.reporting.page import comparison_page, run_page, state_line
from search.reporting.pictures import draw_pictures
from spaces.errors import ConfigError, RunFolderError, printable

PAGE = "report.html"
PICTURES = "report"
COMPARISON = "comparison.html"
# Reasons that are printed: a screen has some 24 lines.
SHOWN_FAILURES = 5


def write_report(findings: Findings, address: str, out: Path) -> Path:
    """Return the page of a run, written into a folder with a folder of PNG files beside it.

    `address` is what commands on the page name the run by.
    """
    folder = Folder(out)
    folder.keep(PAGE, run_page(findings, address).encode())
    for name, picture in draw_pictures(findings):
        folder.keep(f"{PICTURES}/{name}.png", picture)
    return out / PAGE


def report_run(run: RunFolder, display: Display) -> None:
    """Leave the page and the pictures of a run in its folder, and on its storage."""
    page = write_report(read_findings(str(run.path)), run.address, run.path)
    storage = run.folder.storage
    if storage is not None:
        for file in (page, *(run.path / PICTURES).glob("*.png")):
            storage.write(str(file.relative_to(run.path)), file.read_bytes())
    display.say(f"report: {join(run.address, PAGE)}")


def say_findings(findings: Findings, console: Console) -> None:
    """Print counts, the Pareto front and, of a finished run, the winner."""
    line = printable(f"{findings.path}: {state_line(findings)}")
    console.print(line, markup=False, soft_wrap=True)
    if findings.ledger.damage is not None:
        console.print(printable(findings.ledger.damage), markup=False, soft_wrap=True)
    timed = as_timed(findings.config.latency_batch, findings.config.threads)
    title = f"\nPareto front on val, {timed}"
    console.print(trial_table(findings.ledger.front(), findings.budget, title))
    failed = findings.ledger.failed()
    for record in failed[:SHOWN_FAILURES]:
        console.print(Text(printable(f"trial {record.number} failed: {record.result.reason}")))
    if len(failed) > SHOWN_FAILURES:
        console.print(f"and {len(failed) - SHOWN_FAILURES} more trials failed; the page has them")
    for line in delivered_lines(findings.manifest):
        console.print(Text(printable(line)))


def delivered_lines(manifest: Manifest | None) -> list[str]:
    """Return a delivered model's figures beside the baseline's, a line each."""
    if manifest is None:
        return ["unfinished: carry it on with --resume"]
    latency, size = manifest.latency_ms, manifest.size_bytes
    return [
        "delivered:",
        *(
            f"  {manifest.metric.name} on {split.where}: {split.baseline:.4f} to "
            f"{split.winner:.4f} ({percent(split.loss)} loss)"
            for split in manifest.metric.splits()
        ),
        f"  latency: {latency.baseline:.3g} to {latency.winner:.3g} ms at "
        f"{as_timed(latency.batch_size, latency.threads)}, {latency.engine} "
        f"({1 / latency.ratio:.1f}x faster)",
        f"  size: {size.baseline / 1e3:,.0f} to {size.winner / 1e3:,.0f} kB "
        f"({size.baseline / size.winner:.1f}x smaller)",
        *filter(None, [no_gain(latency.ratio)]),
    ]


def report(runs: Sequence[str], out: Path | None, console: Console) -> None:
    """Write and print what one run has found, or set several side by side.

    Works while a run goes on, and after a crash. Raises RunFolderError for a folder without a
    run, or one that cannot be written to.
    """
    found = [read_findings(run) for run in runs]
    target = out if out is not None else found[0].path
    try:
        target.mkdir(parents=True, exist_ok=True)
        if len(found) > 1:
            page = (out or Path()) / COMPARISON
            Folder(page.parent).keep(COMPARISON, comparison_page(found).encode())
        else:
            page = write_report(found[0], runs[0], target)
    except OSError as error:
        raise RunFolderError(
            f"folder {target}: cannot be written to ({error.strerror}); name another with --out"
        ) from error
    for one in found:
        say_findings(one, console)
    console.print(printable(f"report: {page}"), markup=False, soft_wrap=True)


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("report", __doc__)
    parser.add_argument("run", nargs="?", help="the run's folder, or its URI")
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="RUN",
        default=[],
        help=f"further runs: all fronts in one {COMPARISON}",
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the page (the run's; of a comparison this one)"
    )
    return parser


def run(given: argparse.Namespace) -> int:
    runs = [*([given.run] if given.run else []), *given.compare]
    if not runs:
        raise ConfigError("no run is named; give its folder, or its URI")
    report(runs, given.out, Console(highlight=False))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a page, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
