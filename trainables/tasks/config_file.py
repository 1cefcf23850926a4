"""Configuration files of toolkits whose own reader is not installed or not needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaces.errors import TaskError
from trainables.files.yaml_reader import YamlError, read_yaml


def read_config(file: Path, toolkit: str, needed: str) -> dict[str, Any]:
    """Return a configuration; `needed` is a part without which it is none of that toolkit's.

    Raises TaskError if there is no such file, or it is not that.
    """
    try:
        config = read_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(
            f"config_file {file} is missing ({error.strerror}); name a {toolkit} YAML file"
        ) from error
    except (YamlError, UnicodeDecodeError) as error:
        raise TaskError(f"config_file {file} is not YAML ({error}); mend it") from error
    if not isinstance(config, dict) or needed not in config:
        raise TaskError(f"config_file {file} has no {needed}; name a {toolkit} YAML file")
    return config


def section(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a part of a configuration, empty where it has none."""
    found: Any = config
    for key in keys:
        found = (found or {}).get(key)
    return dict(found or {})


def pixel_scale(written: object, where: str) -> float:
    """Return what pixels are multiplied by, which may be written as a quotient; 1/255 for None.

    Raises TaskError, which `where` begins, for what is no number above 0.
    """
    above, _, below = str("1/255" if written is None else written).partition("/")
    try:
        scale = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        scale = math.nan
    if not 0 < scale < math.inf:
        raise TaskError(f"{where} scale {written!r} is no number; give 1.0/255.0")
    return scale
