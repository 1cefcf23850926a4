"""A toolkit's configuration file as plain values, which show the data that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

BASES = ("_BASE_", "_base_")


class _Loader(yaml.SafeLoader):
    """A safe loader that keeps PaddleDetection's tags as the value of `name`."""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {"name": tag, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return {"name": tag}


_Loader.add_multi_constructor("!", _tagged)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `above` merged over `below`, nested mappings too."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        found[key] = merged(old, value) if both else value
    return found


def read(file: Path) -> dict[str, Any]:
    """Return a configuration file merged over the files it is based on."""
    own = yaml.load(file.read_text(encoding="utf-8"), _Loader) or {}
    if not isinstance(own, dict):
        return {}
    bases: list[str] = []
    for key in BASES:
        given = own.pop(key, None) or []
        bases += [given] if isinstance(given, str) else list(given)
    found: dict[str, Any] = {}
    for base in bases:
        found = merged(found, read((file.parent / Path(base).expanduser()).resolve()))
    return merged(found, own)
