"""python -m search.run --budget 0.1"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cli import interrupts
from search.cli.parser import command_parser, run_command
from spaces.errors import (
    ConfigError,
    RunFolderError,
    StorageError,
    UserError,
    one_line,
    shown,
)

if TYPE_CHECKING:
    from search.config import RunConfig

DESCRIPTION = """Find the smallest and fastest version of a trained Paddle model that loses at
most BUDGET of its metric, and deliver it ready to deploy."""

# Flags that are settings of RunConfig under the same name.
FLAGS = ("budget", "task", "trials", "seed", "concurrency", "out", "storage", "address")
# Files that are options of the task.
TASK_FILES = ("weights", "config_file")
# Those settings that another moment, or another machine, may need otherwise.
MOVABLE = ("concurrency", "address")


def build_parser() -> argparse.ArgumentParser:
    from search.cli.task_help import tasks_help
    from search.documentation import settings_help

    parser = command_parser("run", DESCRIPTION, f"{tasks_help()}\n\n{settings_help()}")
    parser.add_argument("--budget", help="relative metric loss allowed, for example 0.1")
    parser.add_argument("--task", help='built-in name or "module:attribute" (fashion_mnist)')
    parser.add_argument(
        "--weights", help="file for the task's weights: .safetensors, .npz, .pdparams"
    )
    parser.add_argument("--config-file", metavar="FILE", help="a toolkit's, for its task")
    parser.add_argument("--trials", help="plans to try")
    parser.add_argument("--seed", help="of the plans and of the training")
    parser.add_argument("--concurrency", help="trials at a time")
    parser.add_argument("--out", help="run folder (runs/<time>-<task>), or its name in the storage")
    parser.add_argument("--storage", help="folder or URI (s3, gs, hdfs) that all nodes reach")
    parser.add_argument("--address", help="of a running Ray cluster; default: a local one")
    parser.add_argument(
        "--cluster",
        metavar="PROFILE",
        help="what comes with the program, or a YAML file: where trials run and what they take",
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "-o",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other setting, for example -o finetune_samples=20000",
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="carry on with an unfinished run; with --address and "
        "--concurrency if those are other ones now",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="measure the baseline and all that comes before the first trial, say what is ahead, "
        "and end; --resume goes on from there",
    )
    parser.add_argument(
        "--check-task", action="store_true", help="try the task against the contract, and end"
    )
    return parser


def config_from(arguments: argparse.Namespace, flags: dict[str, Any]) -> Any:
    """Return the RunConfig of slimsearch.yaml in this folder, a profile, a file, overrides and
    flags, the last winning."""
    from search.cli.paths import placed
    from search.cli.settings_file import read_settings_file
    from search.config import build_config, parse_override, read_config_file, read_profile
    from trainables.settings import user_path

    file = read_config_file(Path(arguments.config)) if arguments.config else {}
    if getattr(arguments, "cluster", None) is not None:
        file = {**read_profile(arguments.cluster), **file}
    file = {**read_settings_file(), **file}
    overrides = [parse_override(text) for text in arguments.overrides]
    given = {name: getattr(arguments, name) for name in TASK_FILES if getattr(arguments, name)}
    if given:
        options = dict(overrides).get("task_options", file.get("task_options")) or {}
        if not isinstance(options, dict):
            raise ConfigError(
                f"task_options cannot be {shown(options)}: give a mapping, for example "
                "-o 'task_options={image_size: 64}'"
            )
        paths = {name: str(user_path(path).absolute()) for name, path in given.items()}
        flags = {**flags, "task_options": {**options, **paths}}
    return placed(build_config(file, overrides, flags))


def check_files(arguments: argparse.Namespace, config: RunConfig) -> None:
    """Raise ConfigError if a file of the task is missing where all workers are on this machine."""
    if config.address is not None or "RAY_ADDRESS" in os.environ:
        # Elsewhere they may have files of their own.
        return
    for name in TASK_FILES:
        if getattr(arguments, name) and not Path(config.task_options[name]).exists():
            raise ConfigError(
                f"--{name.replace('_', '-')} {shown(config.task_options[name])}: there is no such "
                "file; give the path of one"
            )


def settings_from(arguments: argparse.Namespace) -> Any:
    """Return the RunConfig that the arguments of a study ask for."""
    flags: dict[str, Any] = {
        name: getattr(arguments, name) for name in FLAGS if getattr(arguments, name) is not None
    }
    if arguments.check_task:
        flags.setdefault("budget", 0.0)
    return config_from(arguments, flags)


def config_of(address: str) -> RunConfig:
    """Return the configuration of the run at a folder, or a URI."""
    from search.records.opening import local_copy
    from search.records.run_folder import read_config

    return read_config(local_copy(address))


def run(arguments: argparse.Namespace) -> int:
    """Return the exit status of what the arguments ask for."""
    if arguments.resume is not None:
        fixed = [name for name in FLAGS if name not in MOVABLE]
        others = [n for n in (*fixed, "config", "cluster", *TASK_FILES) if getattr(arguments, n)]
        if others or arguments.overrides:
            raise ConfigError(
                f"--resume takes its settings from the run; leave out {others or ['-o']}"
            )
    config = None if arguments.resume is not None else settings_from(arguments)
    if config is not None:
        from trainables.loading import resolve

        check_files(arguments, config)
        resolve(config.task)
        if config.trackers:
            from search.tune.trackers import check_trackers

            check_trackers(config.trackers)
    # Ray takes seconds to import, and no mistake above needs it.
    from search.cli.settings_file import say_settings_file
    from search.config import changed
    from search.console import Display
    from search.records.opening import create_run, resume_run
    from search.study import run_study

    display = Display()
    if config is not None:
        say_settings_file(display.say)
    moved = {name: getattr(arguments, name) for name in MOVABLE}
    if arguments.check_task:
        from search.cli.check_task import report_check

        return report_check(config or changed(config_of(arguments.resume), moved), display)
    if config is None:
        folder, config = resume_run(arguments.resume, display.say)
        config = changed(config, moved)
    else:
        folder = create_run(config, display.say)
    interrupts.current.advice = folder.how_to_carry_on
    try:
        model = run_study(config, folder, display, dry=arguments.dry_run)
    except (StorageError, RunFolderError):
        # Nothing can be discarded where nothing can be written.
        raise
    except UserError:
        if interrupts.current.received is None:
            folder.discard()
        raise
    except OSError as error:
        # Of Ray's or Optuna's files: of a full disk they say neither where nor what next.
        raise RunFolderError(
            f"run folder {folder.address}: {one_line(error)}; make room, then carry it on "
            f"with --resume {shlex.quote(folder.address)}"
        ) from error
    finally:
        folder.release()
    if not arguments.dry_run:
        display.say(f"model: {model}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a delivered model, 1 if there is none, 2 for a mistake of the user, and what
    shells know Ctrl-C and SIGTERM by."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
