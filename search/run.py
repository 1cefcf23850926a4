"""python -m search.run --budget 0.1: find the smallest and fastest version of a trained model.

It loses at most BUDGET of its metric, and is delivered ready to deploy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.cli.configuration import (
    TASK_FILES,
    add_setting_flags,
    add_task_flags,
    check_engine,
    check_task,
    config_from,
    flags_given,
)
from search.cli.parser import command_parser, run_command
from spaces.errors import ConfigError

if TYPE_CHECKING:
    from search.config import RunConfig

# Flags that are settings of the same name.
FLAGS = (
    *("budget", "objective", "max_latency_ms", "max_size_bytes", "task", "within", "trials"),
    *("seed", "concurrency", "out", "storage", "address"),
)
# Settings that may change when a run is resumed: it may be on another machine, or get more time.
MOVABLE = ("concurrency", "address", "within")


def build_parser() -> argparse.ArgumentParser:
    from search.cli.settings_help import settings_help
    from search.cli.task_help import tasks_help

    parser = command_parser("run", __doc__, f"{tasks_help()}\n\n{settings_help()}")
    add = parser.add_argument
    add("--budget", help="relative metric loss allowed, for example 0.1")
    add("--objective", help="what is minimized: latency (default), size or multiply_adds")
    add("--max-latency-ms", help="bound on the latency of a batch, as the baseline is timed")
    add("--max-size-bytes", help="bound on the size of the exported files")
    add_task_flags(parser)
    add("--within", metavar="TIME", help="time for the whole run, such as 90s, 30m or 1h30m")
    add("--trials", help="plans to try; with --within, at most")
    add("--seed", help="of the plans and of the training")
    add("--concurrency", help="trials at a time")
    add("--out", help="run folder (runs/<time>-<task>); with --storage, the run's name there")
    add("--storage", help="folder or URI (s3, gs, hdfs) that all nodes reach")
    add_setting_flags(parser)
    add(
        "--cluster",
        metavar="PROFILE",
        help="settings for a kind of cluster: a profile of this program, or a YAML file",
    )
    add(
        "--resume",
        metavar="RUN",
        help="continue an unfinished run; --address, --concurrency and --within may differ from "
        "before",
    )
    add(
        "--dry-run",
        action="store_true",
        help="stop before the first trial, with the baseline measured and the duration estimated; "
        "--resume continues",
    )
    add("--check-task", action="store_true", help="only check the task against the contract")
    return parser


def settings_from(arguments: argparse.Namespace) -> RunConfig:
    """Return the configuration that the arguments of a study ask for."""
    flags = flags_given(arguments, FLAGS)
    if arguments.check_task:
        flags.setdefault("budget", 0.0)
    return config_from(arguments, flags)


def check_resume(arguments: argparse.Namespace) -> None:
    """Raise ConfigError if settings are given that a resumed run cannot change."""
    fixed = [name for name in FLAGS if name not in MOVABLE]
    others = [n for n in (*fixed, "config", "cluster", *TASK_FILES) if getattr(arguments, n)]
    if others or arguments.overrides:
        raise ConfigError(f"--resume takes its settings from the run; leave out {others or ['-o']}")


def check_settings(arguments: argparse.Namespace, config: RunConfig) -> None:
    """Raise UserError for a task, a file, an engine or a tracker that cannot be found."""
    check_task(arguments, config)
    check_engine(config, config.choices or ())
    if config.trackers:
        from search.tune.trackers import check_trackers

        check_trackers(config.trackers)


def run(arguments: argparse.Namespace) -> int:
    """Return the exit status of what the arguments ask for."""
    config: RunConfig | None = None
    if arguments.resume is not None:
        check_resume(arguments)
    else:
        config = settings_from(arguments)
        check_settings(arguments, config)
    # Importing Ray takes seconds, and no check above needs it.
    from search.cli.launch import check_only, launch

    moved = flags_given(arguments, MOVABLE)
    if arguments.check_task:
        return check_only(config, arguments.resume, moved)
    launch(config, arguments.resume, moved, dry=arguments.dry_run)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a delivered model, 1 if there is none, 2 for a mistake of the user, 130 or 143
    after Ctrl-C or SIGTERM."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
