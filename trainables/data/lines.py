"""Text files with one sample per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spaces.errors import DataError


def numbered_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Yield each line's position ("train.txt:12") and text; empty lines are skipped.

    Raises DataError if the file is missing, is not UTF-8 text or has no lines.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); name an existing list"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text; convert it") from error
    empty = True
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            empty = False
            yield f"{file}:{number}", line.strip()
    if empty:
        raise DataError(f"{file} lists no sample; a split needs at least one")
