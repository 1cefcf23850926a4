"""python -m search.reexport RUN NUMBER: export a finished trial's model and evaluate it.

The trial is pruned and quantized from its plan and its weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clusters.files import SharedFiles
from clusters.storage import is_uri
from search.cli.delivered import run_settings
from search.cli.parser import command_parser, run_command, whole
from search.console import Display, percent
from search.context import cluster_of
from search.records.ledger import Ledger
from search.records.opening import local_copy
from search.records.run_copy import node_name
from search.records.run_folder import RunFolder, read_config
from search.records.tables import Store
from search.workers import call_worker
from spaces.errors import RunFolderError
from trainables.files.node import Node
from trainables.jobs import reexport_job
from trainables.results import MEASURED, Baseline, Measurement


def reexport(run: str, number: int, out: Path, display: Display) -> None:
    """Export a finished trial of a study from its plan and weights, and evaluate the export.

    Raises RunFolderError for a folder without that trial, or if `out` exists.
    """
    path = local_copy(run).absolute()
    config, folder = read_config(path), RunFolder(path)
    settings, files = run_settings(config, folder), folder.files
    if is_uri(run):
        settings, files = settings.having(run_folder=node_name(run)), SharedFiles(run)
    baseline: Baseline | None = folder.stage("baseline")
    records = Ledger.load(Store(folder.path), config.budget, ()).records
    measured = [n for n, record in records.items() if record.result.state in MEASURED]
    if baseline is None or number not in measured:
        raise RunFolderError(
            f"run folder {run}: trial {number} has no model; those that have one are "
            f"{', '.join(str(n) for n in measured) or 'none'}"
        )
    if out.exists():
        raise RunFolderError(f"folder {out}: already exists; name another with --out")
    with cluster_of(config, display):
        found: Measurement = call_worker(
            display,
            "export",
            *(reexport_job, settings, baseline, Node(files=files)),
            *(records[number].plan, (number, records[number].level), str(out.absolute())),
        )
    display.say(
        f"trial {number}: {baseline.metric_name} {baseline.metric:.4f} to "
        f"{found.metric:.4f} on val ({percent(found.metric_loss)} loss)"
    )
    display.say(f"model: {out}")


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("reexport", __doc__)
    parser.add_argument("run", help="the run's folder, or its URI")
    parser.add_argument("number", type=whole(0), help="of the trial")
    parser.add_argument(
        "--out", type=Path, help="folder of the model (RUN/trial-NUMBER; for a URI trial-NUMBER)"
    )
    return parser


def run(given: argparse.Namespace) -> int:
    name = f"trial-{given.number}"
    default = Path(name) if is_uri(given.run) else Path(given.run) / name
    reexport(given.run, given.number, given.out or default, Display())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if it cannot be exported, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
