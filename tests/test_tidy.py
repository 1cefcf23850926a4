"""The shape of the code: sizes of files and functions, what the study imports, and where values are
looked up by name instead of having a type."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("search", "trainables", "spaces", "clusters")
FILES = {
    path.relative_to(ROOT).as_posix(): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

LINES_OF_A_FILE = 350
LINES_OF_A_FUNCTION = 60
FILES_AT_THE_TOP = 16
MODULES_OF_THE_STUDY = 12
# Constant string subscripts in search/.
SUBSCRIPTS = 24

# Where search/ meets data without a type of its own: files and their endings, each with what it is.
SUBSCRIPT_EDGES = {
    "search/records/": "rows of tables, entries of pydantic's errors",
    "search/cli/settings_help.py": "the JSON schema of the settings",
    "search/cli/plan_choices.py": "a JSON file of the user's",
    "search/apply.py": "the command line's flags",
    "search/reporting/interactive.py": "plotly's options",
    "search/reporting/page.py": "a figure's own title",
}
UNTYPED_EDGES = {
    "search/records/": "rows of tables, stage files",
    "search/config.py": "YAML of settings",
    "search/cli/": "flags, YAML and JSON schema of the settings, the runtime environment",
    "search/reporting/": "options of plotly and matplotlib",
    "search/tune/": "configurations and results of Ray's",
    "trainables/settings.py": "options of the user's own task",
    "trainables/trainable.py": "configurations and results of Ray's",
}
# All of the driver, and what crosses from it to the workers and back.
TYPED = (
    *(name for name in FILES if name.startswith("search/")),
    *(f"trainables/{name}.py" for name in ("jobs", "results", "settings", "trainable", "retrain")),
    *(f"trainables/{name}.py" for name in ("trial", "baseline", "final", "context", "files/node")),
)


def beyond(names, edges):
    """Return the files that are none of the edges."""
    return [name for name in names if not name.startswith(tuple(edges))]


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_are_short(name):
    assert len(FILES[name].read_text().splitlines()) <= LINES_OF_A_FILE
    for node in ast.walk(TREES[name]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < LINES_OF_A_FUNCTION, node.name


def test_the_top_of_the_driver_is_small():
    assert len(list((ROOT / "search").glob("*.py"))) <= FILES_AT_THE_TOP


def is_module(name):
    return (ROOT / f"{name.replace('.', '/')}.py").is_file()


def imported(name):
    """Return the modules of ours that a file imports."""
    modules = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom):
            # Of a package, the modules that are named.
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name for name in named if is_module(name)} or {node.module}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module for module in modules if module and module.split(".")[0] in PACKAGES}


def test_the_study_imports_few_modules():
    assert len(imported("search/study.py")) <= MODULES_OF_THE_STUDY


def test_no_stage_imports_another():
    stages = [name for name in FILES if name.startswith("search/stages/")]
    for name in stages:
        if not name.endswith("__init__.py"):
            assert not {m for m in imported(name) if m.startswith("search.stages")}, name


def test_values_have_types_and_names_are_looked_up_at_the_edges():
    found = {}
    for name in FILES:
        if name.startswith("search/"):
            keys = [
                ast.unparse(node)
                for node in ast.walk(TREES[name])
                if isinstance(node, ast.Subscript)
                and isinstance(node.slice, ast.Constant)
                and isinstance(node.slice.value, str)
            ]
            if keys:
                found[name] = keys
    assert not beyond(found, SUBSCRIPT_EDGES), found
    assert sum(map(len, found.values())) <= SUBSCRIPTS, found


def test_no_stage_and_no_worker_is_given_a_dictionary_to_guess():
    untyped = {
        name
        for name in TYPED
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Subscript)
        and ast.unparse(node) in ("dict[str, Any]", "Mapping[str, Any]")
    }
    assert not beyond(untyped, UNTYPED_EDGES)
    # An edge that is none any more is no excuse for the next one.
    for edges, names in ((UNTYPED_EDGES, untyped), (SUBSCRIPT_EDGES, FILES)):
        assert all(any(name.startswith(edge) for name in names) for edge in edges)
