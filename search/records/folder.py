"""A folder whose files are whole or absent, on this machine and, for a run there, on storage."""

from __future__ import annotations

import shutil
from pathlib import Path

from clusters.owner import Ownership
from clusters.storage import Storage
from spaces.errors import RunFolderError
from trainables.files.whole_file import link_below, write_whole


class Folder:
    """Files by name, with "/" between parts. A reader meets an old or a new file, never half.

    With an ownership each file is written to storage first: that one counts, the one here is a
    copy.
    """

    def __init__(self, path: Path, ownership: Ownership | None = None) -> None:
        self.path = path
        self._ownership = ownership

    @property
    def storage(self) -> Storage | None:
        return self._ownership.storage if self._ownership is not None else None

    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it.

        Raises StorageError if the storage does not come back, RunFolderError if another driver has
        taken over or the file cannot be written.
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
                "make it writable; nothing is lost, and a run is resumed with --resume"
            ) from error

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        if self._ownership is not None:
            self._ownership.check()
            self._ownership.storage.delete(name)
        (self.path / name).unlink(missing_ok=True)


def empty_folder(folder: Path) -> None:
    """Delete what a folder holds: this machine's copy of an earlier run."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
