"""Files that are written whole or not at all, and never through a link."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, data: bytes, writer: str = "") -> None:
    """Write a file, in place of what is there; of a link, in place of the link.

    Readers of parquet folders pass over the temporary file, whose name begins with a dot. It is
    made new: a link of that name, in a folder that came from elsewhere, is removed. `writer`
    tells apart those that write the same file at a time.
    """
    temporary = path.with_name(f".{path.name}.{writer}.tmp" if writer else f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def link_below(root: Path, name: str) -> Path | None:
    """Return the first folder on the way from a root to a file in it that is a link, or None."""
    path = root
    for part in Path(name).parts[:-1]:
        path = path / part
        if path.is_symlink():
            return path
    return None
