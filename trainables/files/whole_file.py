"""Atomic writes of files, never through a link."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, data: bytes, writer: str = "") -> None:
    """Replace a file, or a link to one, atomically.

    The temporary file's name begins with a dot, so readers of parquet folders skip it. A link of
    that name, in a folder from elsewhere, is removed first. `writer` distinguishes processes that
    write the same file at the same time.
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
    """Return the first folder between `root` and the file `name` that is a link, or None."""
    path = root
    for part in Path(name).parts[:-1]:
        path = path / part
        if path.is_symlink():
            return path
    return None
