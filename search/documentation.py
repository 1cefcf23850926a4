"""python -m search.documentation: write the pages of docs/reference/ from the code."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from search.cli.settings_help import LINE_WIDTH, settings
from spaces import errors

REFERENCE = Path("docs/reference")
WRITTEN_BY = "Written by `python -m search.documentation`."


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(*rows: tuple[str, ...]) -> list[str]:
    """Return the lines of a table; the first row is its head."""
    head, *body = rows
    return [_row(*head), _row(*("---" for _ in head)), *(_row(*cells) for cells in body)]


def _page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", *lines]) + "\n"


def settings_page() -> str:
    return _page(
        "Settings",
        "Each can be given as `-o key=value`, in a YAML file with `-c FILE`, by a profile with",
        "`--cluster`, or in a `slimsearch.yaml` of the folder the command is given in; of these",
        "the first named wins, and flags such as `--trials` win over all.",
        f"A run's own are in its `config.yaml`. {WRITTEN_BY}",
        "",
        *_table(
            ("setting", "takes", "default", "meaning"),
            *((f"`{name}`", *rest) for name, *rest in settings()),
        ),
    )


def tables_page() -> str:
    # --help needs none of these.
    from search.records.tables import SCHEMA_VERSION, table_columns

    lines = [
        "A run's tables are folders of parquet files, whole at any moment: "
        '`pd.read_parquet("RUN/trials")`.',
        f"This is version {SCHEMA_VERSION}; rows of older ones have null where they lack a column.",
        WRITTEN_BY,
    ]
    for table, (about, columns) in table_columns().items():
        lines += ["", f"## {table}", "", about, ""]
        lines += _table(
            ("column", "type", "meaning"),
            *((f"`{name}`", kind, meaning) for name, kind, meaning in columns),
        )
    return _page("Tables", *lines)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a command's parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _parsers(one)


def _help(parser: argparse.ArgumentParser) -> list[str]:
    """Return a section with what --help prints, except for lists of tasks and settings."""
    parser.epilog = None
    width = functools.partial(argparse.RawDescriptionHelpFormatter, width=LINE_WIDTH)
    parser.formatter_class = width  # type: ignore[assignment]
    return ["", f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```"]


def command_line_page() -> str:
    from search.cli import main as script
    from search.cli.task_help import factory_meaning, factory_source, options_of
    from trainables.loading import BUILT_IN

    lines = [
        "What `--help` of every command prints. `run` and `apply` also list the built-in tasks",
        "(at the end of this page), and `run` every setting ([settings](settings.md)).",
        WRITTEN_BY,
    ]
    lines += _help(script.build_parser())
    for name in script.COMMANDS:
        module = importlib.import_module(f"search.{name.replace('-', '_')}")
        parser: argparse.ArgumentParser = module.build_parser()
        lines += [line for one in _parsers(parser) for line in _help(one)]
    lines += [
        "",
        "## Built-in tasks",
        "",
        'Options are given by `-o "task_options={NAME: VALUE}"`.',
        "",
    ]
    tasks = [(name, factory_source(spec)) for name, spec in sorted(BUILT_IN.items())]
    lines += _table(
        ("task", "options", "meaning"),
        *(
            (f"`{name}`", ", ".join(f"`{o}`" for o in options_of(task)), factory_meaning(task))
            for name, task in tasks
        ),
    )
    return _page("Command line", *lines)


def _parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its fields hold, each once."""
    found = [model]
    for one in found:
        yield one
        for field in one.model_fields.values():
            for kind in (field.annotation, *get_args(field.annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
                    found.append(kind)


def manifest_page() -> str:
    from search.records.manifest import Manifest

    lines = [
        "`RUN/manifest.json`: what someone without this code needs to deploy the model and to",
        f"trust it. {WRITTEN_BY}",
    ]
    for part in _parts(Manifest):
        lines += ["", f"## {part.__name__}", "", *([part.__doc__, ""] if part.__doc__ else [])]
        lines += _table(
            ("field", "type", "meaning"),
            *(
                (
                    f"`{name}`",
                    part.__annotations__[name],
                    " ".join((field.description or "").split()),
                )
                for name, field in part.model_fields.items()
            ),
        )
    return _page("Manifest", *lines)


def exit_status(error: type[errors.SearchError]) -> str:
    """Return the exit status of a command that ends with an error."""
    if issubclass(error, errors.TrialError):
        return "none: the search goes on"
    return "2" if issubclass(error, errors.UserError) else "1"


def _below(error: type[errors.SearchError]) -> Iterator[type[errors.SearchError]]:
    for one in error.__subclasses__():
        yield one
        yield from _below(one)


def errors_page() -> str:
    about = (errors.__doc__ or "").split("\n\n")
    return _page(
        "Errors",
        WRITTEN_BY,
        "",
        "Every command ends with one of these statuses, and for an error with one line on stderr",
        f"of at most {errors.LINE} characters.",
        "",
        *_table(
            ("exit status", "meaning"),
            ("0", "done; for a search, a model was delivered"),
            ("1", "no model could be delivered or written; the line says why"),
            (
                "2",
                "a mistake of the user; the line names the value, what is allowed and what to do",
            ),
            ("130", "ended by Ctrl-C; the line says how to continue"),
            ("143", "ended by SIGTERM; the line says how to continue"),
        ),
        "",
        "A traceback is a fault of this program. The exceptions, in `spaces/errors.py`:",
        "",
        "```text",
        textwrap.dedent(about[1]),
        "```",
        "",
        *_table(
            ("exception", "meaning", "exit status"),
            *(
                (f"`{one.__name__}`", " ".join((one.__doc__ or "").split()), exit_status(one))
                for one in _below(errors.SearchError)
            ),
        ),
    )


PAGES = {
    "command-line.md": command_line_page,
    "settings.md": settings_page,
    "tables.md": tables_page,
    "manifest.md": manifest_page,
    "errors.md": errors_page,
}


def main() -> int:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
        print(REFERENCE / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
