"""python -m search.to_onnx RUN: the delivered model as an ONNX file, checked against Paddle's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.exit_status import exit_status
from search.run_folder import delivered_plan, read_config
from trainables.jobs import onnx_job
from trainables.settings import TrialSettings

FILE = "model.onnx"


def to_onnx(run: Path, target: Path | None = None) -> Path:
    """Return the ONNX file of a finished run's model, or of an applied plan's.

    Raises RunFolderError for a folder without a model, and what `export_onnx` raises.
    """
    plan = delivered_plan(run)
    config = read_config(run)
    settings = TrialSettings(
        config.task, str(run), str(run), task_options=config.task_options, threads=config.threads
    )
    file = (target or run / FILE).absolute()
    done = onnx_job(settings, plan, str(run / "model"), str(file))
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

    def command() -> int:
        to_onnx(given.run, given.out)
        return 0

    return exit_status(command)


if __name__ == "__main__":
    sys.exit(main())
