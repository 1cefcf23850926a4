"""python -m search.report RUN: what a run has found so far, from its tables alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from search.ledger import Ledger
from search.progress import trial_table
from search.run_folder import CONFIG, RunFolder, read_config
from search.store import Store
from spaces.errors import RunFolderError, UserError


def report(path: Path, console: Console) -> None:
    """Print counts, the Pareto front and, of a finished run, the winner.

    Works while the run goes on, and after a crash. Raises RunFolderError for a
    folder without a run.
    """
    if not (path / CONFIG).is_file():
        raise RunFolderError(f"run folder {path}: holds no run; name one that a run printed")
    config = read_config(path)
    ledger = Ledger.load(Store(path), config.budget, ())
    states = [record.result.state for record in ledger.records.values()]
    counts = ", ".join(f"{states.count(s)} {s.lower()}" for s in ("COMPLETE", "STOPPED", "FAILED"))
    console.print(f"{path}: {len(states)} of {config.trials} trials, {counts}", markup=False)
    console.print(
        f"{len(ledger.feasible())} feasible, hypervolume {ledger.hypervolume():.4f} "
        f"within (loss {config.budget:g}, latency ratio 1)"
    )
    console.print(trial_table(ledger.front(), config.budget, "\nPareto front on val"))
    manifest = RunFolder(path).manifest
    if manifest is None:
        console.print("unfinished: carry it on with --resume")
        return
    shown = {part: manifest[part] for part in ("metric", "latency_ms", "size_bytes")}
    console.print_json(json.dumps(shown))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m search.report", description=__doc__)
    parser.add_argument("run", type=Path, help="the run folder")
    try:
        report(parser.parse_args(argv).run, Console(highlight=False))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
