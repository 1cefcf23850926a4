"""A run's files on several nodes: kept on storage by the worker that made them, fetched once by
each node that needs them."""

from __future__ import annotations

import functools
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from clusters.storage import Storage
from spaces.errors import StorageError

# In a folder that is whole: which keeping it is of, here and on storage.
MARK = ".kept"


@functools.lru_cache(maxsize=8)
def _storage(uri: str, patience_s: float) -> Storage:
    """Return a process's own connection; none can travel to another process."""
    return Storage(uri, patience_s)


@dataclass(frozen=True)
class SharedFiles:
    """The files of one run, on storage and in a folder of each node."""

    uri: str
    """Of the run's own folder on storage."""
    patience_s: float = 3600.0

    def upload(self, root: Path, name: str) -> None:
        """Keep on storage what `root / name` holds now."""
        storage = _storage(self.uri, self.patience_s)
        mark = uuid.uuid4().hex
        storage.upload(root / name, name)
        # Last: a folder without its mark is one whose worker died.
        storage.write(f"{name}/{MARK}", mark.encode())
        (root / name / MARK).write_text(mark)

    def fetch(self, root: Path, name: str) -> None:
        """Have `root / name` hold what was kept last. Raises StorageError if nothing was."""
        storage, target = _storage(self.uri, self.patience_s), root / name
        mark = storage.read(f"{name}/{MARK}")
        if mark is None:
            raise StorageError(f"storage {self.uri}: {name} is gone; restore it")
        if _mark_of(target) == mark:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several workers of a node begin at once; one of them fetches.
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
