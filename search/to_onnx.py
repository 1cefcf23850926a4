"""python -m search.to_onnx RUN: convert the delivered model to ONNX, checked against Paddle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clusters.storage import is_uri
from clusters.waiting import Awaited, said_while
from search.cli.delivered import open_delivered
from search.cli.parser import command_parser, run_command
from trainables.files.task_folder import restored_folder
from trainables.jobs import onnx_job
from trainables.settings import MODEL

FILE = "model.onnx"


def to_onnx(run: str, target: Path | None = None) -> Path:
    """Return the ONNX file of the model of a finished run, or of an applied plan.

    By default it is in the run's folder; for a run on storage in the current one. Raises
    RunFolderError for a folder without a model, and the errors of `export_onnx`.
    """
    found = open_delivered(run)
    default = Path(FILE) if is_uri(run) else found.folder / FILE
    file = (target or default).absolute()
    model = str(found.folder / MODEL)
    with (
        restored_folder(),
        said_while(Awaited("conversion"), lambda line: print(line, file=sys.stderr)),
    ):
        done = onnx_job(found.settings, found.files, found.plan, model, str(file))
    print(
        f"{file}: {done.size_bytes / 1e3:,.0f} kB, outputs differ from Paddle's by "
        f"{done.difference:.1%} of their spread"
    )
    return file


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("to_onnx", __doc__)
    parser.add_argument("run", help="the run's folder, or its URI")
    parser.add_argument("--out", type=Path, help=f"the file (RUN/{FILE}; for a URI {FILE})")
    return parser


def run(given: argparse.Namespace) -> int:
    to_onnx(given.run, given.out)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a file, 1 if the model cannot be converted, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
