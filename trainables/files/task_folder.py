"""The folder that a task's relative paths are read from, wherever a worker runs.

A command is given in a folder. Each worker changes to that folder before it loads the task, so that
a relative path means the same in an option, in a configuration file, in a list and in the task's
own code, and so that a module beside them can be imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.settings import TrialSettings


def _copy_sent_by_ray() -> Path:
    """Return the copy of `working_dir` on this node: Ray starts its workers by `cd COPY && ...`,
    and PWD keeps that whatever the process changes to later."""
    return Path(os.environ.get("PWD", os.curdir))


def _holds_all_of(folder: Path, copy: Path) -> bool:
    return {path.name for path in copy.iterdir()} <= {path.name for path in folder.iterdir()}


def locate(settings: TrialSettings) -> Path | None:
    """Return the task's folder on this node, None if it is not there.

    Where Ray sends a copy, a folder of the same path that lacks a part of the copy is another one,
    such as the home folder of another machine: then the copy is the task's folder.
    """
    if settings.task_folder is None:
        return None
    folder = Path(settings.task_folder)
    if not settings.task_folder_sent:
        return folder if folder.is_dir() else None
    copy = _copy_sent_by_ray()
    return folder if folder.is_dir() and _holds_all_of(folder, copy) else copy


def enter(settings: TrialSettings) -> None:
    """Change to the task's folder, and import modules from it first. Without one, do nothing."""
    folder = locate(settings)
    if folder is None:
        return
    os.chdir(folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def current_folder_kept() -> Iterator[None]:
    """Come back to the current folder afterwards, for a command that loads a task itself."""
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)
