"""Processor time of a process and all its descendants."""

from __future__ import annotations

import ctypes
import threading

import psutil

# Seconds between two looks at the processes: of a process that ends, at most this is missed.
INTERVAL_S = 0.25
# Linux's prctl(2): orphans become children of this process, and so stay in its tree.
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of its descendants whose own parent ends, as Ray's do."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class ProcessorClock:
    """User and system seconds of this process and its descendants, those that ended included.

    The sum is of each process's own time when it was last seen. The time that Linux adds to a
    parent after a child has ended is not used: processes that ignore their children's end, as
    Ray's raylet does, never get it.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._root = psutil.Process()
        self._interval_s = interval_s
        self._seen: dict[tuple[int, float], float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessorClock:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def seconds(self) -> float:
        """Return the processor seconds until now."""
        self._look()
        with self._lock:
            return sum(self._seen.values())

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for process in [self._root, *self._root.children(recursive=True)]:
                try:
                    times = process.cpu_times()
                    key = (process.pid, process.create_time())
                except psutil.Error:
                    continue
                self._seen[key] = max(self._seen.get(key, 0.0), times.user + times.system)


def end_descendants(patience_s: float = 5.0) -> None:
    """End all descendants of this process: a method's own processes that it left running."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(left, timeout=patience_s)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
