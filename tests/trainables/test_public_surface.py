"""What a user's own task imports from this package, and nothing else of it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "trainables.task": {
        *("SPLITS", "Batch", "Metric", "ModelInput", "Split", "Task", "TrainingRecipe"),
    },
    "trainables.metrics": {
        *("MeanIoU", "TopOneAccuracy", "loss_standard_error", "metric_value", "relative_loss"),
    },
    "trainables.weights": {"load_weights"},
}
# Data of a built-in task, which the tests' own task borrows.
BORROWED = {("trainables.tasks.fashion_mnist.task", "FashionMnist")}


def imported(source):
    """Return (module, name) of all that a source imports from the four packages."""
    return {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.split(".")[0] in ("search", "spaces", "trainables", "clusters")
    }


def example_of(page):
    """Return the example of a user's own task that a page prints, "" if it has none."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return "\n".join(block for block in blocks if "def build_model" in block)


@pytest.mark.parametrize("module", PUBLIC)
def test_a_star_import_gives_the_public_names(module):
    found = {}
    exec(f"from {module} import *", found)
    found.pop("__builtins__")
    assert set(found) == PUBLIC[module]
    assert sorted(importlib.import_module(module).__all__) == sorted(PUBLIC[module])


def test_a_task_needs_only_public_names():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    examples = [example for page in pages if (example := example_of(page))]
    assert examples
    public = {(module, name) for module, names in PUBLIC.items() for name in names}
    for source in examples:
        assert imported(source) and imported(source) <= public
    mine = ROOT / "tests" / "helpers" / "tiny" / "mine.py"
    assert imported(mine.read_text()) - BORROWED <= public


@pytest.mark.parametrize("package", ["search", "spaces", "trainables", "clusters"])
def test_packages_are_marked_as_typed(package):
    assert (ROOT / package / "py.typed").is_file()
    declared = (ROOT / "pyproject.toml").read_text().partition("[tool.setuptools.package-data]")[2]
    (line,) = (line for line in declared.splitlines() if line.startswith(f'"{package}" = '))
    assert '"py.typed"' in line
