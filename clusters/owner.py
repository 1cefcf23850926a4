"""Who may write to a run's folder on storage: one driver at a time.

Storage has no locks. So the driver writes its name and a counter to a file, and increments the
counter while it works. Another driver that finds the file watches whether the counter still moves:
no clocks of two machines are compared.
"""

from __future__ import annotations

import contextlib
import json
import math
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


@dataclass(frozen=True)
class Heartbeat:
    """How a driver shows that it lives. All are guesses: long beside a write to storage, and below
    the half minute after which a wait is reported."""

    every_s: float = 5.0
    """Seconds between two increments."""
    missed: int = 4
    """Increments that may fail to appear before a driver counts as dead."""
    settle_s: float = 1.0
    """Seconds between a claim and its check: of two claims at once, both see the later one."""

    @property
    def silence_s(self) -> float:
        """Seconds without an increment after which a driver counts as dead."""
        return self.missed * self.every_s


HEARTBEAT = Heartbeat()


@dataclass(frozen=True)
class Owner:
    """A driver's entry."""

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


def _impatient(storage: Storage) -> Storage:
    """Return the same storage, whose failures raise at once."""
    return Storage(storage.uri, patience_s=0.0, say=lambda text: None)


def _is_gone(owner: Owner) -> bool:
    """Return whether a driver of this machine has died; False for one of another machine."""
    if owner.host != platform.node():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _is_alive(storage: Storage, owner: Owner) -> bool:
    """Return whether the counter of a driver moves, watched until its silence is too long.

    Reads are counted, not seconds: while this machine stands still, or storage is away, nothing is
    seen of the counter.
    """
    pause = min(1.0, HEARTBEAT.every_s)
    for _ in range(math.ceil(HEARTBEAT.silence_s / pause)):
        if _is_gone(owner):
            return False
        time.sleep(pause)
        now = _read(storage)
        if now is None:
            return False
        if now != owner:
            return True
    return False


class Ownership:
    """A run's folder on storage, owned by this process until it is released."""

    def __init__(self, storage: Storage, owner: Owner) -> None:
        self.storage = storage
        self._owner = owner
        self._ended = threading.Event()
        self._taken_by: Owner | None = None
        self._thread = threading.Thread(target=self._count, name="run-owner", daemon=True)
        self._thread.start()

    @classmethod
    def claim(cls, storage: Storage) -> Ownership:
        """Return the ownership. Raises RunFolderError, naming the other driver, if there is one."""
        found = _read(storage)
        if found is not None and not _is_gone(found) and _is_alive(storage, found):
            raise RunFolderError(
                f"run folder {storage.uri}: {found} is working in it; wait for it to end"
            )
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        mine = Owner(platform.node(), os.getpid(), now, uuid.uuid4().hex)
        _write(storage, mine)
        time.sleep(HEARTBEAT.settle_s)
        last = _read(storage)
        if last is None or last.token != mine.token:
            raise RunFolderError(
                f"run folder {storage.uri}: {last or 'another process'} began to work in it at "
                "the same moment; wait for it to end"
            )
        return cls(storage, mine)

    def _count(self) -> None:
        # While storage is away the counter stands still, but nobody can read it either.
        storage = _impatient(self.storage)
        owner = self._owner
        while not self._ended.wait(HEARTBEAT.every_s):
            try:
                found = _read(storage)
                if found is not None and found.token != owner.token:
                    self._taken_by = found
                    return
                owner = Owner(**{**asdict(owner), "beats": owner.beats + 1})
                _write(storage, owner)
            except StorageError:
                continue

    def check(self) -> None:
        """Raise RunFolderError if another driver took over after a long silence of this one."""
        if self._taken_by is not None:
            raise RunFolderError(
                f"run folder {self.storage.uri}: {self._taken_by} has taken over, because this "
                f"one was silent for {HEARTBEAT.silence_s:.0f} s; leave the run to that one"
            )

    def release(self) -> None:
        """Let the next driver in."""
        self._ended.set()
        self._thread.join()
        if self._taken_by is None:
            # If storage is away the entry stays, and the next driver waits until it is too old.
            with contextlib.suppress(StorageError):
                _impatient(self.storage).delete(OWNER)
