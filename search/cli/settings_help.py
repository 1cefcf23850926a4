"""What every setting is, in words: for --help and for the reference."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from search.config import RunConfig
from trainables.settings import WorkerSettings

# Columns of the text of --help; a guess: longer lines are hard to read.
LINE_WIDTH = 92


def allowed(field: dict[str, Any]) -> str:
    """Return the values that a setting takes, in words, from its JSON schema."""
    if "anyOf" in field:
        return " or ".join(allowed(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    kind = {
        "boolean": "true or false",
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "array": "list",
        "object": "mapping",
        "null": "null",
    }[field["type"]]
    bounds = [
        f"{word} {field[key]:g}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in field
    ]
    items = field.get("items", {})
    if kind == "list" and items:
        return f"list of {allowed(items)}"
    return " ".join([kind, *bounds])


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, tuple):
        return str(list(field.default))
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "none" if field.default is None else str(field.default)


def settings() -> Iterator[tuple[str, str, str, str]]:
    """Yield every setting: name, what it takes, default, meaning."""
    schema = RunConfig.model_json_schema()
    # The search's own first, then those that workers need too, which are inherited.
    names = [*RunConfig.__annotations__, *WorkerSettings.model_fields]
    for name in names:
        field = RunConfig.model_fields[name]
        described = _resolved(schema["properties"][name], schema.get("$defs", {}))
        meaning = " ".join((field.description or "").split())
        yield name, allowed(described), _default(field), meaning


def _resolved(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a part of a JSON schema with its references resolved."""
    if isinstance(schema, list):
        return [_resolved(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _resolved(value, definitions) for key, value in schema.items()}


def settings_help() -> str:
    """Return every setting as text for a terminal."""
    width = min(LINE_WIDTH, shutil.get_terminal_size().columns)
    parts = ["settings, for -o KEY=VALUE and --config:"]
    for name, takes, default, meaning in settings():
        parts += textwrap.wrap(
            f"{name} ({takes}; {default})", width, initial_indent="  ", subsequent_indent=" " * 4
        )
        parts += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(parts)
