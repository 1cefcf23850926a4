"""python -m search.timing RUN: the delivered model timed as the toolkits time theirs.

Ten runs to warm up, then the mean of fifty: comparable with published figures, and as unsteady as
they are. A search reads latencies in another way (trainables/latency.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from search.cli import command_parser, run_command, whole
from search.delivered import open_delivered
from trainables.jobs import timing_job
from trainables.task_folder import current_folder_kept


def time_run(run: str, batch: int, threads: int, warmup: int, runs: int) -> tuple[float, float]:
    """Return the mean milliseconds a batch of the baseline and of the delivered model.

    Raises RunFolderError for a run without both.
    """
    found = open_delivered(run)
    settings = replace(found.settings, latency_batch=batch, threads=threads)
    with current_folder_kept():
        before, after = timing_job(settings, found.files, found.plan, found.models, warmup, runs)
    return before, after


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("timing", __doc__)
    parser.add_argument("run", help="the run's folder, or its URI")
    parser.add_argument("--batch", type=whole(1), default=1, help="samples a run (1)")
    parser.add_argument("--threads", type=whole(1), default=1, help="of the engine (1)")
    parser.add_argument("--warmup", type=whole(0), default=10, help="runs that do not count (10)")
    parser.add_argument("--runs", type=whole(1), default=50, help="runs that do (50)")
    return parser


def run(given: argparse.Namespace) -> int:
    before, after = time_run(given.run, given.batch, given.threads, given.warmup, given.runs)
    print(
        f"mean of {given.runs} runs after {given.warmup}, batch {given.batch}, "
        f"{given.threads} threads: {before:.2f} to {after:.2f} ms ({before / after:.2f}x)"
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a timing, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
