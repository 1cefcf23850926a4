"""The files of an exported model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

MODEL_FILE = "inference.pdmodel"
WEIGHTS_FILE = "inference.pdiparams"
PADDLE_FILES = (MODEL_FILE, WEIGHTS_FILE)
"""In every export, whichever engine it is for."""
ONNX_FILE = "inference.onnx"
SIZES_FILE = "sizes.json"
"""The inputs' shapes at each size that is timed, in an export that takes several."""
ENGINE_FILES = (ONNX_FILE, SIZES_FILE)
"""In an export for an engine that needs more than Paddle's files."""


def model_files(folder: Path) -> tuple[str, ...]:
    """Return the names of an exported model's files: Paddle's, then what an engine has besides."""
    return (*PADDLE_FILES, *(name for name in ENGINE_FILES if (folder / name).is_file()))


def write_sizes(folder: Path, shapes: Sequence[Sequence[Sequence[int]]]) -> None:
    """Write the inputs' shapes at each size beside an exported model that takes several."""
    (folder / SIZES_FILE).write_text(json.dumps(shapes))


def read_sizes(folder: Path) -> list[list[tuple[int, ...]]]:
    """Return the inputs' shapes at each size, without the batch axis; none if there is one size."""
    file = folder / SIZES_FILE
    found = json.loads(file.read_text()) if file.is_file() else []
    return [[*map(tuple, shapes)] for shapes in found]


def size_bytes(folder: Path, files: Sequence[str] = PADDLE_FILES) -> int:
    """Return the bytes on disk of an exported model, or of some of its files."""
    return sum((folder / name).stat().st_size for name in files)
