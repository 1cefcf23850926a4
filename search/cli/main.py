"""slimsearch COMMAND: each command of `python -m search.COMMAND` under one name."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from search.cli.parser import Parser, run_command
from spaces.errors import ConfigError, did_you_mean, shown

PROGRAM = "slimsearch"
COMMANDS = {
    "run": "search for the fastest or smallest model within a budget, and deliver it",
    "apply": "run one plan, chosen as today's tools choose one",
    "select": "deliver another point of a finished run's front",
    "report": "show what a run has found, or compare runs",
    "timing": "time a delivered model as the toolkits time theirs",
    "reexport": "export and evaluate a finished trial of a run",
    "to-onnx": "convert a delivered model to ONNX",
}


def _command(text: str) -> str:
    """Return a command's name as it is listed; to_onnx is to-onnx."""
    name = text.replace("_", "-")
    if name not in COMMANDS:
        nearest = did_you_mean(name, COMMANDS) or ";"
        raise ConfigError(f"{shown(text)} is not a command{nearest} {PROGRAM} --help lists them")
    return name


def build_parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10} {about}" for name, about in COMMANDS.items())
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] COMMAND ...",
        description=f"A search for the best version of a trained Paddle model.\n\n{listed}",
        epilog=f"{PROGRAM} COMMAND --help lists the flags of a command. Each command is a module, "
        "too:\npython -m search.run is the same as slimsearch run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", type=_command, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def run(given: argparse.Namespace) -> int:
    """Return the exit status of the command named."""
    # Each command imports what it needs, and nothing of the others.
    command = importlib.import_module(f"search.{given.command.replace('-', '_')}")
    parser = command.build_parser()
    status: int = command.run(parser.parse_args(given.arguments))
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status of the command, as its own `main` does."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
