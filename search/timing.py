"""python -m search.timing RUN: time the delivered model as the toolkits time theirs.

The mean of 50 runs after 10 to warm up: comparable with published figures, and as noisy. A search
times models with a latency probe instead (trainables/probe.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from search.cli.delivered import open_delivered
from search.cli.parser import command_parser, run_command, whole
from search.reporting.advice import as_timed, size_text
from trainables.files.task_folder import restored_folder
from trainables.jobs import timing_job
from trainables.run_times import SizeTimes


@dataclass(frozen=True)
class Timing:
    """The unpruned model and the delivered one, at one batch."""

    batch: int
    threads: int
    sizes: list[SizeTimes]

    def in_words(self) -> list[str]:
        """Return a line for each size."""
        lines = []
        for size in self.sizes:
            before, after = size.before, size.after
            of = f", {size_text(size.shapes[0])}" if len(self.sizes) > 1 else ""
            lines.append(
                f"{as_timed(self.batch, self.threads)}{of}: {before.mean_ms:.2f} "
                f"(± {before.spread_ms:.2f}) to {after.mean_ms:.2f} (± {after.spread_ms:.2f}) ms, "
                f"{before.mean_ms / after.mean_ms:.2f}x faster"
            )
        return lines


def time_run(
    run: str, batch: int | None, threads: int | None, warmup: int, runs: int
) -> list[Timing]:
    """Return the times at one batch size, by default at 1 and at the run's own.

    Raises RunFolderError for a run without both models.
    """
    found = open_delivered(run)
    threads = threads or found.settings.threads
    batches = [batch] if batch is not None else sorted({1, found.settings.latency_batch})
    timings = []
    for size in batches:
        settings = found.settings.having(latency_batch=size, threads=threads)
        with restored_folder():
            sizes = timing_job(settings, found.files, found.plan, found.models, warmup, runs)
        timings.append(Timing(size, threads, sizes))
    return timings


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("timing", __doc__)
    parser.add_argument("run", help="the run's folder, or its URI")
    parser.add_argument("--batch", type=whole(1), help="samples in a batch (1, and the run's own)")
    parser.add_argument("--threads", type=whole(1), help="threads of the engine (the run's)")
    parser.add_argument(
        "--warmup", type=whole(0), default=10, help="runs before the timed ones (10)"
    )
    parser.add_argument("--runs", type=whole(1), default=50, help="timed runs (50)")
    return parser


def run(given: argparse.Namespace) -> int:
    timings = time_run(given.run, given.batch, given.threads, given.warmup, given.runs)
    print(f"mean (± standard deviation) of {given.runs} runs after {given.warmup}:")
    for timing in timings:
        print("\n".join(timing.in_words()))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a timing, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
