"""Exclusive use of a device while a latency is taken, between the processes of a node."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@contextmanager
def _locked(path: str, operation: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        # Closing gives the lock back; so does dying, however suddenly.
        os.close(descriptor)


@dataclass(frozen=True)
class FileLease:
    """A lease of the device that `path` stands for, from whichever process opens it.

    Training steps share the device, a probe has it alone. Whoever wants it passes a
    gate first, and a probe keeps the gate shut while it waits: without it, steps that
    follow each other closely in two processes would keep a probe out for ever.
    """

    path: str
    per_gpu: bool = False
    """Whether it is of the GPU that Ray gave the process, and not of the whole node."""

    @property
    def _file(self) -> str:
        # Asked where it is used: the process that made it has another GPU, or none.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if self.per_gpu else ""
        return f"{self.path}-gpu-{visible.replace(',', '-')}" if visible else self.path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait for all others to leave, and keep them out."""
        with _locked(f"{self._file}.gate", fcntl.LOCK_EX), _locked(self._file, fcntl.LOCK_EX):
            yield

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Wait for the probe, if there is one, and keep the next one out."""
        with _locked(f"{self._file}.gate", fcntl.LOCK_SH):
            pass
        with _locked(self._file, fcntl.LOCK_SH):
            yield


def device_lease(per_gpu: bool = False) -> FileLease:
    """Return the lease of this node's device, or of a GPU; the same one for every run."""
    return FileLease(f"/tmp/slimsearch-device-{os.getuid()}.lock", per_gpu)
