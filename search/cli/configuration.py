"""The configuration that a command's arguments ask for, and the flags that it is read from."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import ConfigError, shown

if TYPE_CHECKING:
    from search.config import RunConfig
    from spaces.plan import QuantizationChoice

# Flags that name a file for the task: each sets the task option of its name.
TASK_FILES = ("weights", "config_file")


def add_task_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        help='which model: a built-in task, or "module:attribute" of your own (fashion_mnist)',
    )
    parser.add_argument("--weights", metavar="FILE", help=".safetensors, .npz or .pdparams")
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        help="the model's configuration in its toolkit's format, such as one of PaddleSeg's .yml "
        "files; for the settings of this program see --config",
    )


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="of a running Ray cluster (a local one is started)")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="YAML file of settings of this program"
    )
    parser.add_argument(
        "-o",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other setting, for example -o finetune_samples=20000",
    )


def flags_given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of those flags that were given, by name."""
    values = {name: getattr(arguments, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def config_from(arguments: argparse.Namespace, flags: dict[str, Any]) -> RunConfig:
    """Return the configuration; slimsearch.yaml of this folder, the profile, the file, overrides
    and flags are read in this order, the last one wins."""
    from search.cli.paths import with_absolute_paths
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
    return with_absolute_paths(build_config(file, overrides, flags))


def _is_here(config: RunConfig) -> bool:
    """Return whether all workers are on this machine; nodes of a cluster may have what it lacks."""
    return config.address is None and "RAY_ADDRESS" not in os.environ


def check_engine(config: RunConfig, choices: Iterable[QuantizationChoice]) -> None:
    """Raise ConfigError if the engine is not installed on this machine and all workers are here,
    or if it never has the precision of one of the choices."""
    from trainables.deployment.engines.registry import LISTINGS, check_installed, listing_of

    listing = listing_of(config)
    if _is_here(config):
        check_installed(config.evaluated_by)
    if config.engine == "command":
        _check_command(config)
    for choice in choices:
        if choice.precision not in listing.precisions:
            able = [kind for kind, one in LISTINGS.items() if choice.precision in one.precisions]
            raise ConfigError(
                f"{choice.value}: engine {config.evaluated_by} does not run {choice.precision}, "
                f"only {', '.join(listing.precisions)}; give another choice, or an engine that "
                f"runs it: {', '.join(able)}"
            )


def _check_command(config: RunConfig) -> None:
    """Raise ConfigError if there is no command, or one that cannot be called from this machine."""
    from trainables.deployment.engines.command import PLACES, arguments_of

    if config.probe_command is None:
        raise ConfigError(
            "engine=command needs the command that times a model; give it, for example "
            "-o probe_command='ssh board bench {model} {batch}'"
        )
    program = arguments_of(config.probe_command, dict.fromkeys(PLACES, ""))[0]
    if _is_here(config) and shutil.which(program) is None:
        raise ConfigError(
            f"probe_command: there is no program {shown(program)}; give its path, or install it"
        )


def check_task(arguments: argparse.Namespace, config: RunConfig) -> None:
    """Raise ConfigError if the task cannot be found, or if a file of it is missing where all
    workers are on this machine."""
    from trainables.loading import resolve

    if _is_here(config):
        for name in TASK_FILES:
            if getattr(arguments, name) and not Path(config.task_options[name]).exists():
                raise ConfigError(
                    f"--{name.replace('_', '-')} {shown(config.task_options[name])}: there is no "
                    "such file; give the path of one"
                )
    resolve(config.task)
