"""Reads a toolkit's configuration file without the toolkit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaces.errors import TaskError
from trainables.files.yaml_reader import YamlError, read_yaml


def read_config(file: Path, toolkit: str, needed: str) -> dict[str, Any]:
    """Return a configuration of a toolkit; `needed` is a section that all of them have.

    Raises TaskError if the file is missing, is not YAML or lacks that section.
    """
    try:
        config = read_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(
            f"config_file {file} is missing ({error.strerror}); name a {toolkit} YAML file"
        ) from error
    except (YamlError, UnicodeDecodeError) as error:
        raise TaskError(f"config_file {file} is not YAML ({error}); correct it") from error
    if not isinstance(config, dict) or needed not in config:
        raise TaskError(f"config_file {file} has no {needed}; name a {toolkit} YAML file")
    return config


def section(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a section of a configuration, empty if it is missing."""
    found: Any = config
    for key in keys:
        found = (found or {}).get(key)
    return dict(found or {})


def pixel_scale(written: object, where: str) -> float:
    """Return the factor of pixels, which may be written as a quotient; 1/255 for None.

    Raises TaskError, beginning with `where`, unless it is a number above 0.
    """
    numerator, _, denominator = str("1/255" if written is None else written).partition("/")
    try:
        scale = float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        scale = math.nan
    if not 0 < scale < math.inf:
        raise TaskError(f"{where} scale {written!r} is not a number above 0; give 1.0/255.0")
    return scale
