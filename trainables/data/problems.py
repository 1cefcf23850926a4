"""The faults of a data set, all found before any trial starts."""

from __future__ import annotations

from spaces.errors import DataError


class Problems:
    """Collects faults, each with its file and line."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def note(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def raise_if_any(self) -> None:
        """Raise DataError with the first problem and the number of others, in one line."""
        if self.found:
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            raise DataError(f"{self.found[0]}{more}")
