"""The first thing that is wrong with a value that pydantic refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True)
class Fault:
    """One entry of pydantic's error."""

    path: tuple[str, ...]
    """Keys and indices down to the value."""
    kind: str
    """Pydantic's name for what is wrong, such as "missing"."""
    message: str
    given: Any
    """The value, or what it is missing from."""

    @property
    def name(self) -> str:
        return ".".join(self.path)


def first_fault(error: ValidationError) -> Fault:
    """Return the first entry of an error."""
    entry = error.errors(include_url=False)[0]
    path = tuple(map(str, entry["loc"]))
    return Fault(path, entry["type"], entry["msg"], entry["input"])
