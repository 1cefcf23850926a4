"""The built-in tasks in --help, read from the source of their factories: importing those would
import paddle and the toolkits."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import textwrap
from pathlib import Path

from search.cli.settings_help import LINE_WIDTH
from trainables.loading import BUILT_IN


def factory_source(spec: str) -> ast.FunctionDef:
    """Return the definition of the factory "module:attribute"."""
    module, _, attribute = spec.partition(":")
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None
    tree = ast.parse(Path(found.origin).read_text())
    return next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == attribute
    )


def options_of(factory: ast.FunctionDef) -> list[str]:
    """Return a factory's options as in its signature; those without a default are required."""
    given = factory.args
    first_default = len(given.args) - len(given.defaults)
    options = []
    for index, argument in enumerate(given.args):
        kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
        default = ""
        if index >= first_default:
            default = f" = {ast.unparse(given.defaults[index - first_default])}"
        options.append(f"{argument.arg}{kind}{default}")
    return options


def factory_meaning(factory: ast.FunctionDef) -> str:
    """Return what a factory's docstring says of its options, in one line."""
    text = " ".join((ast.get_docstring(factory) or "").split())
    return text.removeprefix("Return the task; ")


def tasks_help() -> str:
    """Return every built-in task and its options as text for a terminal."""
    width = min(LINE_WIDTH, shutil.get_terminal_size().columns)
    parts = ['tasks, for --task, and their options, for -o "task_options={NAME: VALUE}":']
    for name, spec in sorted(BUILT_IN.items()):
        factory = factory_source(spec)
        parts += textwrap.wrap(
            f"{name} ({', '.join(options_of(factory))})",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 4,
        )
        parts += textwrap.wrap(
            factory_meaning(factory), width, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(parts)
