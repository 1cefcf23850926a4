"""Who may write to a run folder of this machine: one process at a time, which holds its lock."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from spaces.errors import RunFolderError
from trainables.files.whole_file import write_whole

LOCK = ".lock"


class RunLock:
    """The lock of a run folder. The system releases it when the process dies, however suddenly.

    A run on storage is owned through clusters/owner.py instead: storage has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK)
        self._note = folder / ".owner"

    def acquire(self) -> None:
        """Lock all others out. Raises RunFolderError if another process works in the folder, or it
        is not writable.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderError(
                f"run folder {self._folder}: another process is working in it{self._holder()}; "
                "wait for it to end"
            ) from error
        except OSError as error:
            raise RunFolderError(
                f"run folder {self._folder}: not writable ({error.strerror}); "
                "name a folder you may write to with --out"
            ) from error
        write_whole(self._note, f"process {os.getpid()}".encode())

    def release(self) -> None:
        """Let others in."""
        self._lock.release()

    def _holder(self) -> str:
        return f" ({self._note.read_text()})" if self._note.is_file() else ""
