"""Who works in a run's folder on storage: one driver at a time, on whichever node.

Storage has no locks. So the driver notes itself in a file and counts up in it, time and again;
another one that finds a note watches whether it still counts. No clocks are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from clusters.storage import Storage
from spaces.errors import RunFolderError, StorageError

OWNER = "owner.json"
# Between two counts, and how many may fail to come before a driver is taken for dead.
BEAT_S = 5.0
MISSED_BEATS = 4
# After a claim: two that claim at once each see who came last.
SETTLE_S = 1.0


@dataclass(frozen=True)
class Owner:
    """What a driver notes of itself."""

    host: str
    pid: int
    since: str
    token: str
    beats: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def _read(storage: Storage) -> Owner | None:
    text = storage.read(OWNER)
    return Owner(**json.loads(text)) if text else None


def _write(storage: Storage, owner: Owner) -> None:
    storage.write(OWNER, json.dumps(asdict(owner)).encode())


def _hurried(storage: Storage) -> Storage:
    """Return the same storage, not waited for."""
    return Storage(storage.uri, patience_s=0.0, say=lambda text: None)


def _is_gone(owner: Owner) -> bool:
    """Return whether a driver of this very machine has died; False if nobody can know."""
    if owner.host != platform.node():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _still_counts(storage: Storage, owner: Owner) -> bool:
    deadline = time.monotonic() + MISSED_BEATS * BEAT_S
    while time.monotonic() < deadline:
        if _is_gone(owner):
            return False
        time.sleep(min(1.0, BEAT_S))
        now = _read(storage)
        if now is None:
            return False
        if now != owner:
            return True
    return False


class Ownership:
    """A run's folder on storage, held by this process until it is released."""

    def __init__(self, storage: Storage, owner: Owner) -> None:
        self.storage = storage
        self._owner = owner
        self._ended = threading.Event()
        self._taken_by: Owner | None = None
        self._thread = threading.Thread(target=self._count, name="run-owner", daemon=True)
        self._thread.start()

    @classmethod
    def claim(cls, storage: Storage) -> Ownership:
        """Return the ownership. Raises RunFolderError, naming the other, if there is one."""
        found = _read(storage)
        if found is not None and not _is_gone(found) and _still_counts(storage, found):
            raise RunFolderError(
                f"run folder {storage.uri}: {found} is working in it; wait for it to end"
            )
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        mine = Owner(platform.node(), os.getpid(), now, uuid.uuid4().hex)
        _write(storage, mine)
        time.sleep(SETTLE_S)
        last = _read(storage)
        if last is None or last.token != mine.token:
            raise RunFolderError(
                f"run folder {storage.uri}: {last or 'another process'} began to work in it at "
                "the same moment; wait for it to end"
            )
        return cls(storage, mine)

    def _count(self) -> None:
        # A storage that is away for a while stops the count, and keeps others from reading it too.
        hurried = _hurried(self.storage)
        owner = self._owner
        while not self._ended.wait(BEAT_S):
            try:
                found = _read(hurried)
                if found is not None and found.token != owner.token:
                    self._taken_by = found
                    return
                owner = Owner(**{**asdict(owner), "beats": owner.beats + 1})
                _write(hurried, owner)
            except StorageError:
                continue

    def check(self) -> None:
        """Raise RunFolderError if another driver has taken over, as it may after a long silence."""
        if self._taken_by is not None:
            raise RunFolderError(
                f"run folder {self.storage.uri}: {self._taken_by} has taken over, for nothing was "
                f"heard of this one for {MISSED_BEATS * BEAT_S:.0f} s; leave it to that one"
            )

    def release(self) -> None:
        """Let the next driver in."""
        self._ended.set()
        self._thread.join()
        if self._taken_by is None:
            # If the storage is away, that may be why we leave: the next driver waits for the count.
            with contextlib.suppress(StorageError):
                _hurried(self.storage).delete(OWNER)
