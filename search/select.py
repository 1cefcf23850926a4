"""python -m search.select RUN --max-latency-ms 3: deliver another point of a finished run's front.

It is retrained in full, as the winner was, and delivered in a folder of its own within the run's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from search.cli.parser import command_parser, positive, run_command, share, whole
from spaces.errors import ConfigError


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("select", __doc__)
    parser.add_argument("run", help="folder, or URI, of a finished run")
    parser.add_argument("--budget", type=share, help="relative metric loss allowed (the run's)")
    parser.add_argument(
        "--max-latency-ms", type=positive, help="of a batch, as the run timed its baseline"
    )
    parser.add_argument("--max-size-bytes", type=whole(1), help="of the exported files")
    parser.add_argument("--address", help="of a running Ray cluster (a local one is started)")
    return parser


def run(given: argparse.Namespace) -> int:
    """Return the exit status of what the arguments ask for."""
    bounds = (given.budget, given.max_latency_ms, given.max_size_bytes)
    if all(bound is None for bound in bounds):
        raise ConfigError(
            "nothing to choose by; give --budget, --max-latency-ms or --max-size-bytes"
        )
    # Importing Ray takes seconds, and no check above needs it.
    from search.cli.selecting import Bounds, select

    select(given.run, Bounds(*bounds), given.address)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if no candidate keeps the budget, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
