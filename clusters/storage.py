"""A folder that every node reaches: s3://, gs://, hdfs://, or one that all have mounted.

A file is there whole or not at all. A storage that is full or does not answer is waited for: a
search should outlive the hour in which somebody repairs it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyarrow import fs

from clusters.waiting import Awaited, said_while
from spaces.errors import StorageError, one_line

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# File systems in which a file appears once it is complete, and folders are only parts of names.
OBJECT_STORES = ("s3", "gcs", "abfs")
# Pause before the second attempt; each further one doubles. A guess.
FIRST_PAUSE_S = 0.2
# Longest pause between two attempts. A guess.
LONGEST_PAUSE_S = 5.0


def is_uri(text: str) -> bool:
    """Return whether a text has a scheme, as "s3://bucket/runs" has."""
    return "://" in text


def join(uri: str, name: str) -> str:
    """Return the URI of a folder within another; the query after a question mark stays last."""
    path, question, options = uri.partition("?")
    return f"{path.rstrip('/')}/{name}{question}{options}"


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URI or a path, and the path within it."""
    try:
        if is_uri(uri):
            system, path = fs.FileSystem.from_uri(uri)
        else:
            system, path = fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    except (OSError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"storage {uri}: {one_line(error)}; give a folder, or a URI that pyarrow opens, "
            "such as s3://bucket/runs"
        ) from error
    if system.type_name in OBJECT_STORES and not path.strip("/"):
        raise StorageError(f"storage {uri}: names no bucket; give one, such as s3://bucket/runs")
    return system, path


class Storage:
    """A folder in a file system of pyarrow. Names are relative to it, with "/" between parts.

    Each operation waits for a storage that fails, and raises StorageError after `patience_s`.
    """

    def __init__(
        self,
        uri: str,
        patience_s: float = 3600.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.uri = uri
        self.patience_s = patience_s
        self.filesystem, self.path = _open(uri)
        self._say = say or logger.warning
        self._has_folders = self.filesystem.type_name not in OBJECT_STORES

    def create(self) -> None:
        """Make the folder. Raises StorageError at once if it cannot be written to."""
        probe = f"{self.path}/.writable"
        try:
            if self._has_folders:
                self.filesystem.create_dir(self.path, recursive=True)
            with self.filesystem.open_output_stream(probe) as stream:
                stream.write(b"\n")
            self.filesystem.delete_file(probe)
        except OSError as error:
            raise StorageError(
                f"storage {self.uri}: cannot be written to ({one_line(error)}); create it, or "
                "give one that you may write to with --storage"
            ) from error

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none."""

        def operation() -> bytes | None:
            try:
                with self.filesystem.open_input_stream(f"{self.path}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                self._check_mounted()
                return None
            except OSError:
                found = self.filesystem.get_file_info(f"{self.path}/{name}").type
                if found == fs.FileType.Directory:
                    # Waiting does not help.
                    raise IsADirectoryError(f"{name} is a folder, not a file") from None
                raise

        return self._patiently(f"read {name}", operation)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it."""
        self._patiently(f"write {name}", lambda: self._write_once(name, data))

    def _write_once(self, name: str, data: bytes) -> None:
        target = f"{self.path}/{name}"
        if not self._has_folders:
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(data)
            return
        self._check_mounted()
        folder, _, last = target.rpartition("/")
        # One name a thread: the owner's counter is written while rows are.
        temporary = f"{folder}/.{last}.{threading.get_ident()}.tmp"
        self.filesystem.create_dir(folder, recursive=True)
        try:
            with self.filesystem.open_output_stream(temporary) as stream:
                stream.write(data)
            self.filesystem.move(temporary, target)
        except OSError:
            self._forget(temporary)
            raise

    def _forget(self, path: str) -> None:
        try:
            self.filesystem.delete_file(path)
        except OSError:
            logger.debug("%s could not be deleted", path)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        self._remove(self.filesystem.delete_file, name)

    def delete_folder(self, name: str) -> None:
        """Delete a folder and all it holds, if it exists."""
        self._remove(self.filesystem.delete_dir, name)

    def _remove(self, remove: Callable[[str], None], name: str) -> None:
        def operation() -> None:
            try:
                remove(f"{self.path}/{name}")
            except FileNotFoundError:
                self._check_mounted()

        self._patiently(f"delete {name}", operation)

    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names of all files below a folder, without half-written ones."""
        base = f"{self.path}/{folder}".rstrip("/")

        def operation() -> list[str]:
            self._check_mounted()
            selector = fs.FileSelector(base, allow_not_found=True, recursive=True)
            found = [
                info.path[len(self.path) + 1 :]
                for info in self.filesystem.get_file_info(selector)
                if info.type == fs.FileType.File
            ]
            return sorted(name for name in found if not name.rpartition("/")[2].startswith("."))

        return self._patiently(f"list {folder or 'its files'}", operation)

    def upload(self, source: Path, folder: str) -> None:
        """Write every file of a local folder, one by one: mark elsewhere that all are there."""
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                name = f"{folder}/{path.relative_to(source).as_posix()}"
                self.write(name, path.read_bytes())

    def download(self, folder: str, target: Path) -> bool:
        """Copy all files below a folder into a local one; return whether there are any."""
        names = self.names(folder)
        for name in names:
            data = self.read(name)
            if data is not None:
                path = target / name[len(folder) :].lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return bool(names)

    def _check_mounted(self) -> None:
        """Raise OSError if the folder itself is gone, as when a disk is no longer mounted.

        Otherwise the run would seem empty, or be written below the mount point.
        """
        if self._has_folders and not self._exists():
            raise OSError(f"{self.path} is not there")

    def is_there(self) -> bool:
        """Return whether the folder exists, without waiting; True for an object store."""
        try:
            return not self._has_folders or self._exists()
        except OSError:
            # It does not answer: the next operation waits, and says so.
            return True

    def _exists(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type == fs.FileType.Directory)

    def _patiently(self, doing: str, operation: Callable[[], Result]) -> Result:
        """Return the operation's result; retry while the storage fails.

        `doing` is the operation's verb and object. Raises StorageError after `patience_s`.
        """
        # An operation that hangs is reported too.
        with said_while(Awaited(f"storage {self.uri}, to {doing}"), self._say, often=True):
            return self._until_it_works(doing, operation)

    def _until_it_works(self, doing: str, operation: Callable[[], Result]) -> Result:
        began, pause, said = time.monotonic(), FIRST_PAUSE_S, False
        while True:
            try:
                result = operation()
            except OSError as error:
                final = isinstance(error, (PermissionError, NotADirectoryError, IsADirectoryError))
                if final or time.monotonic() - began > self.patience_s:
                    raise StorageError(
                        f"storage {self.uri}: could not {doing} for "
                        f"{time.monotonic() - began:.0f} s ({one_line(error)}); repair it, then "
                        "carry the run on with --resume"
                    ) from error
                if not said:
                    self._say(f"storage {self.uri}: waiting to {doing} ({one_line(error)})")
                    said = True
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                if said:
                    waited = time.monotonic() - began
                    self._say(f"storage {self.uri}: back after {waited:.0f} s")
                return result
