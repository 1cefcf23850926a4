"""The task's folder: the base of its relative paths, on every worker.

It is the folder in which the command was given. Each worker changes to it before it loads the task,
so that a relative path means the same in an option, a configuration file, a list and the task's own
code, and modules in the folder can be imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.settings import TrialSettings


def _copy_sent_by_ray() -> Path:
    """Return the copy of `working_dir` on this node.

    Ray starts its workers with `cd COPY && ...`; PWD keeps COPY when the process changes folders.
    """
    return Path(os.environ.get("PWD", os.curdir))


def _holds_all_of(folder: Path, copy: Path) -> bool:
    return {path.name for path in copy.iterdir()} <= {path.name for path in folder.iterdir()}


def locate(settings: TrialSettings) -> Path | None:
    """Return the task's folder on this node, None if it is not there.

    If Ray sent a copy, a folder of the same path that lacks some of the copy's files is a different
    one, such as the home folder of another machine: the copy is then the task's folder.
    """
    if settings.task_folder is None:
        return None
    folder = Path(settings.task_folder)
    if not settings.task_folder_sent:
        return folder if folder.is_dir() else None
    copy = _copy_sent_by_ray()
    return folder if folder.is_dir() and _holds_all_of(folder, copy) else copy


def enter(settings: TrialSettings) -> None:
    """Change to the task's folder and put it first on the import path. Do nothing without one."""
    folder = locate(settings)
    if folder is None:
        return
    os.chdir(folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def restored_folder() -> Iterator[None]:
    """Restore the current folder afterwards, for a command that loads a task itself."""
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)
