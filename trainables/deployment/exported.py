"""The files of an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MODEL_FILE = "inference.pdmodel"
WEIGHTS_FILE = "inference.pdiparams"
PADDLE_FILES = (MODEL_FILE, WEIGHTS_FILE)
"""In every export, whichever engine it is for."""
ONNX_FILE = "inference.onnx"
ENGINE_FILES = (ONNX_FILE,)
"""In an export for an engine that does not load Paddle's files."""


def model_files(folder: Path) -> tuple[str, ...]:
    """Return the names of an exported model's files: Paddle's, then what an engine has besides."""
    return (*PADDLE_FILES, *(name for name in ENGINE_FILES if (folder / name).is_file()))


def size_bytes(folder: Path, files: Sequence[str] = PADDLE_FILES) -> int:
    """Return the bytes on disk of an exported model, or of some of its files."""
    return sum((folder / name).stat().st_size for name in files)
