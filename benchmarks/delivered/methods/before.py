"""This search as it was: its own command, in a git work tree of a recorded commit."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.delivered.methods.searches import search, settings_of
from benchmarks.delivered.model import DeliveredModel
from benchmarks.delivered.problems import Problem

# The last commit whose budget bounds the loss after a trial's short training.
COMMIT = "89608bb"
REPOSITORY = Path(__file__).parents[3]


@contextmanager
def work_tree(folder: Path) -> Iterator[Path]:
    """A work tree of COMMIT below `folder`, removed at the end."""
    tree = folder / "tree"
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    # What an interrupted attempt has left.
    subprocess.run([*git, "remove", "--force", str(tree)], check=False, capture_output=True)
    subprocess.run(
        [*git, "add", "--detach", "--force", str(tree), COMMIT], check=True, capture_output=True
    )
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    settings = settings_of(problem, seed, seconds, folder)
    settings["trials"] = problem.lengths.within(seconds).trials
    with work_tree(folder) as tree:
        return search(settings, tree, seconds, folder, commit=COMMIT)
