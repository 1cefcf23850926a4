"""A run's files on several nodes: the worker that makes them uploads them, and each node that needs
them fetches them once."""

from __future__ import annotations

import functools
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from clusters.storage import Storage
from spaces.errors import StorageError

# File in a whole folder, here and on storage, with an identifier of its upload.
MARK = ".kept"


@functools.lru_cache(maxsize=8)
def _storage(uri: str, patience_s: float) -> Storage:
    """Return this process's connection; connections cannot be pickled."""
    return Storage(uri, patience_s)


@dataclass(frozen=True)
class SharedFiles:
    """The files of one run, on storage and in a folder of each node."""

    uri: str
    """The run's own folder on storage."""
    patience_s: float = 3600.0

    def upload(self, root: Path, name: str) -> None:
        """Copy the folder `root / name` to storage."""
        storage = _storage(self.uri, self.patience_s)
        mark = uuid.uuid4().hex
        storage.upload(root / name, name)
        # Last: a folder without a mark was left by a worker that died.
        storage.write(f"{name}/{MARK}", mark.encode())
        (root / name / MARK).write_text(mark)

    def fetch(self, root: Path, name: str) -> None:
        """Make `root / name` a copy of what storage has. Raises StorageError if it has nothing."""
        storage, target = _storage(self.uri, self.patience_s), root / name
        mark = storage.read(f"{name}/{MARK}")
        if mark is None:
            raise StorageError(f"storage {self.uri}: {name} is gone; restore it")
        if _mark_of(target) == mark:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of several workers of a node that begin at once, one fetches.
        with FileLock(target.with_name(f".{target.name}.lock")):
            if _mark_of(target) == mark:
                return
            temporary = target.with_name(f".{target.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            storage.download(name, temporary)
            (temporary / MARK).write_bytes(mark)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)


def _mark_of(folder: Path) -> bytes | None:
    path = folder / MARK
    return path.read_bytes() if path.is_file() else None
