"""slimsearch.yaml of the current folder: defaults of any settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.config import RunConfig, read_config_file, unknown_setting
from spaces.errors import ConfigError

SETTINGS_FILE = "slimsearch.yaml"


def read_settings_file() -> dict[str, Any]:
    """Return the settings of the file, empty if there is none.

    A profile, a file given with -c, overrides and flags win over them. Raises ConfigError for a
    file that cannot be read or has an unknown setting.
    """
    path = Path(SETTINGS_FILE)
    if not path.exists():
        return {}
    settings = read_config_file(path)
    for name in settings:
        if str(name) not in RunConfig.model_fields:
            raise ConfigError(f"{SETTINGS_FILE} of this folder: {unknown_setting(str(name))}")
    return settings


def say_settings_file(say: Callable[[str], None]) -> None:
    """Say which settings the file gave, if there is one."""
    settings = read_settings_file()
    if settings:
        say(f"{'settings':<12} {SETTINGS_FILE} of this folder: {', '.join(map(str, settings))}")
