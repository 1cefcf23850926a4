"""python -m search.reexport RUN NUMBER: a finished trial's model, exported anew and evaluated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.context import cluster_of, trial_settings
from search.exit_status import exit_status
from search.ledger import Ledger
from search.progress import Display, percent
from search.run_folder import RunFolder, read_config
from search.store import Store
from search.workers import call_worker
from spaces.errors import RunFolderError
from trainables.jobs import reexport_job
from trainables.node import Node


def reexport(run: Path, number: int, out: Path, display: Display) -> None:
    """Export a finished trial of a study from its plan and weights, and evaluate the export.

    Raises RunFolderError for a folder without that trial, or if `out` exists.
    """
    config, folder = read_config(run), RunFolder(run.absolute())
    baseline = folder.stage("baseline")
    records = Ledger.load(Store(folder.path), config.budget, ()).records
    complete = [n for n, record in records.items() if record.result.state == "COMPLETE"]
    if baseline is None or number not in complete:
        raise RunFolderError(
            f"run folder {run}: trial {number} has not gone to its end; those that have are "
            f"{', '.join(str(n) for n in complete) or 'none'}"
        )
    if out.exists():
        raise RunFolderError(f"folder {out}: exists already; name another with --out")
    with cluster_of(config, display):
        found = call_worker(
            reexport_job,
            trial_settings(config, folder),
            {**baseline, "references": []},
            Node(files=folder.files),
            records[number].plan.to_json(),
            number,
            str(out.absolute()),
        )
    display.say(
        f"trial {number}: {baseline['metric_name']} {baseline['metric']:.4f} to "
        f"{found['metric']:.4f} on val ({percent(found['metric_loss'])} loss)"
    )
    display.say(f"model: {out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if it cannot be exported, 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m search.reexport", description=__doc__)
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("number", type=int, help="of the trial")
    parser.add_argument("--out", type=Path, help="folder of the model (RUN/trial-NUMBER)")
    given = parser.parse_args(argv)

    def command() -> int:
        out = given.out or given.run / f"trial-{given.number}"
        reexport(given.run, given.number, out, Display())
        return 0

    return exit_status(command)


if __name__ == "__main__":
    sys.exit(main())
