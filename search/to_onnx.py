"""python -m search.to_onnx RUN: the delivered model as an ONNX file, checked against Paddle's."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from search.run_folder import read_config
from spaces.errors import RunFolderError, SearchError, UserError
from trainables.jobs import onnx_job
from trainables.settings import TrialSettings

FILE = "model.onnx"


def to_onnx(run: Path, target: Path | None = None) -> Path:
    """Return the ONNX file of a finished run's model, or of an applied plan's.

    Raises RunFolderError for a folder without a model, and what `export_onnx` raises.
    """
    plan = run / "plan.json"
    if not (run / "model").is_dir() or not plan.is_file():
        raise RunFolderError(f"folder {run}: holds no delivered model; name that of a finished run")
    config = read_config(run)
    settings = TrialSettings(
        config.task, str(run), str(run), task_options=config.task_options, threads=config.threads
    )
    file = (target or run / FILE).absolute()
    done = onnx_job(settings, json.loads(plan.read_text()), str(run / "model"), str(file))
    print(
        f"{file}: {done['size_bytes'] / 1e3:,.0f} kB, outputs within {done['difference']:.1%} of "
        "their spread of Paddle's"
    )
    return file


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a file, 1 if the model cannot be converted, 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m search.to_onnx", description=__doc__)
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--out", type=Path, help=f"the file (RUN/{FILE})")
    given = parser.parse_args(argv)
    try:
        to_onnx(given.run, given.out)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
