"""Code run in a process of its own, because Ray's core keeps the token mode that it was once in."""

import subprocess
import sys
from pathlib import Path

from tests.helpers.support import PATIENCE_S

ROOT = Path(__file__).parents[2]


def run_in_child(code: str, **environment: str) -> None:
    """Run Python code with nothing but this environment and PATH; fail with what it raised."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr
