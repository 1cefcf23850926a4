"""python -m search.documentation: write docs/settings.md and docs/tables.md from the code."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from search.config import RunConfig
from trainables.settings import WorkerSettings

DOCS = Path("docs")
# Columns of the text of --help: longer lines are hard to read.
LINE_WIDTH = 92


def allowed(field: dict[str, Any]) -> str:
    """Return what a setting takes, from its JSON schema, in words."""
    if "anyOf" in field:
        return " or ".join(allowed(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    kind = {
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
        return "to be given"
    if isinstance(field.default, tuple):
        return str(list(field.default))
    return "none" if field.default is None else str(field.default)


def settings() -> Iterator[tuple[str, str, str, str]]:
    """Yield every setting: name, what it takes, default, meaning."""
    schema = RunConfig.model_json_schema()
    # Those that workers need too are inherited: after the search's own.
    names = [*RunConfig.__annotations__, *WorkerSettings.model_fields]
    for name in names:
        field = RunConfig.model_fields[name]
        described = _resolved(schema["properties"][name], schema.get("$defs", {}))
        meaning = " ".join((field.description or "").split())
        yield name, allowed(described), _default(field), meaning


def _resolved(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema with what it refers to in its place."""
    if "$ref" in field:
        return _resolved(definitions[field["$ref"].rpartition("/")[2]], definitions)
    found = dict(field)
    if "items" in found:
        found["items"] = _resolved(found["items"], definitions)
    if "anyOf" in found:
        found["anyOf"] = [_resolved(option, definitions) for option in found["anyOf"]]
    return found


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


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Each can be given as `-o key=value`, in a YAML file with `-c FILE`, by a profile with",
        "`--cluster`, or in a `slimsearch.yaml` of the folder the command is given in; of these",
        "the first named wins, and flags such as `--trials` win over all.",
        "A run's own are in its `config.yaml`. Written by `python -m search.documentation`.",
        "",
        _row("setting", "takes", "default", "meaning"),
        _row("---", "---", "---", "---"),
    ]
    lines += [_row(f"`{name}`", *rest) for name, *rest in settings()]
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    # --help needs none of these.
    from search.records.tables import SCHEMA_VERSION, table_columns

    lines = [
        "# Tables",
        "",
        "A run's tables are folders of parquet files, whole at any moment: "
        '`pd.read_parquet("RUN/trials")`.',
        f"This is version {SCHEMA_VERSION}; rows of older ones have null where they lack a column.",
        "Written by `python -m search.documentation`.",
    ]
    for table, (about, columns) in table_columns().items():
        lines += ["", f"## {table}", "", about, "", _row("column", "type", "meaning")]
        lines.append(_row("---", "---", "---"))
        lines += [_row(f"`{name}`", kind, meaning) for name, kind, meaning in columns]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "tables.md": tables_page}


def main() -> int:
    DOCS.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        print(DOCS / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
