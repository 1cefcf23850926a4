"""python -m search.timing RUN: the delivered model timed as the toolkits time theirs.

Ten runs to warm up, then the mean of fifty: comparable with published figures, and as unsteady as
they are. A search reads latencies in another way (trainables/latency.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.exit_status import exit_status
from search.run_folder import delivered_plan, read_config
from trainables.jobs import timing_job
from trainables.settings import TrialSettings


def time_run(run: Path, batch: int, threads: int, warmup: int, runs: int) -> tuple[float, float]:
    """Return the mean milliseconds a batch of the baseline and of the delivered model.

    Raises RunFolderError for a folder without both.
    """
    plan = delivered_plan(run)
    config = read_config(run)
    settings = TrialSettings(
        config.task,
        str(run),
        str(run),
        task_options=config.task_options,
        latency_batch=batch,
        threads=threads,
    )
    folders = [str(run / "baseline"), str(run / "model")]
    before, after = timing_job(settings, plan, folders, warmup, runs)
    return before, after


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m search.timing", description=__doc__)
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--batch", type=int, default=1, help="samples a run (1)")
    parser.add_argument("--threads", type=int, default=1, help="of the engine (1)")
    parser.add_argument("--warmup", type=int, default=10, help="runs that do not count (10)")
    parser.add_argument("--runs", type=int, default=50, help="runs that do (50)")
    given = parser.parse_args(argv)

    def command() -> int:
        before, after = time_run(given.run, given.batch, given.threads, given.warmup, given.runs)
        print(
            f"mean of {given.runs} runs after {given.warmup}, batch {given.batch}, "
            f"{given.threads} threads: {before:.2f} to {after:.2f} ms ({before / after:.2f}x)"
        )
        return 0

    return exit_status(command)


if __name__ == "__main__":
    sys.exit(main())
