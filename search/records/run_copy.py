"""Folders of this machine that hold a run, or a copy of one that is on storage."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from clusters.storage import Storage
from search.records.folder import Folder
from search.records.tables import SCHEMAS
from spaces.errors import RunFolderError

STAGES = "stages"


def node_name(uri: str) -> str:
    """Return the name of a run's folder in every node's cache, none like another run's."""
    last = uri.partition("?")[0].rstrip("/").rpartition("/")[2]
    return f"{last}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"


def make_folder(path: Path) -> None:
    """Make a folder to write to. Raises RunFolderError if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"run folder {path}: cannot be made ({error.strerror}); "
            "name a folder you may write to with --out"
        ) from error
    if not os.access(path, os.W_OK):
        raise RunFolderError(
            f"run folder {path}: not writable; name a folder you may write to with --out"
        )


def copy_run(storage: Storage, path: Path, more: Sequence[str]) -> None:
    """Have a folder hold the tables and stages that storage does, and further files."""
    kept = (STAGES, *SCHEMAS)
    for part in kept:
        shutil.rmtree(path / part, ignore_errors=True)
    for name in (*more, *(n for part in kept for n in storage.names(part))):
        data = storage.read(name)
        if data is not None:
            Folder(path).write(name, data)
