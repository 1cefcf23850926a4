"""A cache of JSON files, each named by the fingerprint of all that its value depends on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from pathlib import Path
from typing import TypeVar

from trainables.files.codec import decode, encode
from trainables.files.whole_file import write_whole

Value = TypeVar("Value")


def fingerprint_of(*parts: object) -> str:
    """Return a hex digest of JSON-able values, the same in every process."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def processor() -> str:
    """Return the name of this machine's processor; latencies are valid for it alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{names[0] if names else platform.machine()} {fingerprint_of(flags)[:8]}"


class JsonCache:
    """A folder of JSON values, all of which can be measured again.

    A damaged file is a miss; a file that cannot be written is skipped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, kind: type[Value]) -> Value | None:
        """Return the value under a key, None if there is none of this type."""
        try:
            return decode(kind, (self.folder / f"{key}.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def put(self, key: str, kind: type[Value], value: Value) -> None:
        """Write a value under a key, if the disk allows it."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            # A temporary name of this process: several workers of a node may write the same key.
            write_whole(self.folder / f"{key}.json", encode(kind, value).encode(), str(os.getpid()))
