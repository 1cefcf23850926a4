"""python -m search.report RUN: what a run has found so far, as a page, PNG files and a few lines.

Works while the run goes on, and after a crash.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from search.cli.parser import command_parser, run_command
from search.reporting.files import COMPARISON, write_page
from search.reporting.findings import read_findings
from search.reporting.terminal import say_findings
from spaces.errors import ConfigError, printable


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
        "--out",
        type=Path,
        help="folder of the page (the run's own; for a comparison the current one)",
    )
    return parser


def run(given: argparse.Namespace) -> int:
    runs = [*([given.run] if given.run else []), *given.compare]
    if not runs:
        raise ConfigError("no run is named; give its folder, or its URI")
    console = Console(highlight=False)
    found = [read_findings(address) for address in runs]
    page = write_page(found, runs, given.out)
    for findings in found:
        say_findings(findings, console)
    console.print(printable(f"report: {page}"), markup=False, soft_wrap=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a page, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
