"""What is wrong with a data set, all of it found before any trial starts."""

from __future__ import annotations

from spaces.errors import DataError


class Problems:
    """Collects what is wrong, each with its file and line."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def note(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def raise_if_any(self) -> None:
        """Raise DataError, in one line, with the first problem and how many more there are."""
        if self.found:
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            raise DataError(f"{self.found[0]}{more}")
