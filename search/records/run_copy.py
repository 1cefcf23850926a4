"""Folders of this machine that hold a run, or a copy of a run on storage."""

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
    """Return the name of a run's folder in every node's cache; no two runs share one."""
    last = uri.partition("?")[0].rstrip("/").rpartition("/")[2]
    return f"{last}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"


def make_folder(path: Path) -> None:
    """Make a folder to write to. Raises RunFolderError if it cannot be made or written to."""
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
    """Replace a folder's tables and stages by those on storage; copy the files in `more` too."""
    parts = (STAGES, *SCHEMAS)
    for part in parts:
        shutil.rmtree(path / part, ignore_errors=True)
    for name in (*more, *(n for part in parts for n in storage.names(part))):
        data = storage.read(name)
        if data is not None:
            Folder(path).write(name, data)
