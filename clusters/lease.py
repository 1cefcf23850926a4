"""Exclusive use of a device during a latency probe, among the processes of a node."""

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
        # Closing releases the lock; the system does it for a process that dies.
        os.close(descriptor)


@dataclass(frozen=True)
class FileLease:
    """A lease of a device, named by the path of a lock file.

    Training steps share the device, a probe has it alone. Both pass a gate first, and a probe
    closes the gate while it waits: otherwise the training steps of two processes, which overlap,
    would keep the probe out for ever.
    """

    path: str
    per_gpu: bool = False
    """Whether the device is the process's GPU from Ray, and not the whole node."""

    @property
    def _file(self) -> str:
        # Read where the lease is used: the process that made it has another GPU, or none.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if self.per_gpu else ""
        return f"{self.path}-gpu-{visible.replace(',', '-')}" if visible else self.path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait until the device is free, and hold it alone."""
        with _locked(f"{self._file}.gate", fcntl.LOCK_EX), _locked(self._file, fcntl.LOCK_EX):
            yield

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Wait until no probe runs, and share the device."""
        with _locked(f"{self._file}.gate", fcntl.LOCK_SH):
            pass
        with _locked(self._file, fcntl.LOCK_SH):
            yield


def device_lease(per_gpu: bool = False) -> FileLease:
    """Return the lease of this node, or of a GPU of it; all runs use the same one."""
    return FileLease(f"/tmp/slimsearch-device-{os.getuid()}.lock", per_gpu)
