"""Results kept under a fingerprint of all they depend on, a small JSON file each."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.whole_file import write_whole


def fingerprint_of(*parts: object) -> str:
    """Return a hex digest of JSON-able values; equal values give it in any process."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def processor() -> str:
    """Return the name of this machine's processor: latencies hold for it alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{names[0] if names else platform.machine()} {fingerprint_of(flags)[:8]}"


class JsonCache:
    """A folder of JSON values. A file that is damaged is a miss, one that cannot be written is left
    out: what is kept here can be measured again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any | None:
        """Return what `read` makes of the value under a key, None if there is none."""
        try:
            return read(json.loads((self.folder / f"{key}.json").read_bytes()))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a value, if there is room for it."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            # Of this process alone: several workers of a node keep the same value.
            write_whole(self.folder / f"{key}.json", json.dumps(value).encode(), str(os.getpid()))
