"""What importing the packages loads, and the direction of imports."""

import subprocess
import sys

import pytest

MODULES = (
    *("search", "search.run", "search.study", "search.report", "search.apply"),
    *("search.to_onnx", "search.reexport", "search.timing", "spaces", "trainables.jobs"),
)


@pytest.mark.parametrize("module", MODULES)
def test_importing_the_driver_does_not_load_paddle(module):
    script = (
        f"import sys, {module}; print([m for m in ('paddle', 'paddleslim') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def test_asking_for_help_loads_neither_ray_nor_paddle():
    script = (
        "import sys, search.run\n"
        "try: search.run.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('ray', 'paddle', 'optuna') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip().endswith("[]")


def test_imports_keep_their_direction():
    from importlinter.cli import lint_imports

    assert lint_imports() == 0
