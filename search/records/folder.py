"""A folder whose files are whole or not there, on this machine and, if asked for, on storage."""

from __future__ import annotations

import shutil
from pathlib import Path

from clusters.owner import Ownership
from clusters.storage import Storage
from spaces.errors import RunFolderError
from trainables.files.whole_file import link_below, write_whole


class Folder:
    """Files by name, with "/" between parts. Whoever reads meets an old or a new one, never half.

    With an ownership, storage has a file before this machine does: what counts is there, and
    what is here is a copy.
    """

    def __init__(self, path: Path, ownership: Ownership | None = None) -> None:
        self.path = path
        self._ownership = ownership

    @property
    def storage(self) -> Storage | None:
        return self._ownership.storage if self._ownership is not None else None

    def keep(self, name: str, data: bytes) -> None:
        """Write a file, in place of what it held.

        Raises StorageError if the storage stays away, RunFolderError if it is another driver's or
        the file cannot be written.
        """
        if self._ownership is not None:
            self._ownership.check()
            self._ownership.storage.write(name, data)
        target = self.path / name
        link = link_below(self.path, name)
        if link is not None:
            raise RunFolderError(
                f"folder {self.path}: {link.name} is a link, which nothing is written through; "
                "remove it, or name another folder with --out"
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)
        except OSError as error:
            raise RunFolderError(
                f"folder {self.path}: {name} cannot be written ({error.strerror}); make room, or "
                "make it writable: what was written before is kept, a run goes on with --resume"
            ) from error

    def drop(self, name: str) -> None:
        """Delete a file, if it is there."""
        if self._ownership is not None:
            self._ownership.check()
            self._ownership.storage.delete(name)
        (self.path / name).unlink(missing_ok=True)


def empty_folder(folder: Path) -> None:
    """Delete what a folder holds: this machine's copy of a run that was there before."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
