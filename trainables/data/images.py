"""Image files read, measured and checked."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from spaces.errors import one_line
from trainables.data.problems import Problems

# Threads that read images. A guess.
READERS = 8

Pixels = NDArray[np.uint8]


def read_image(path: Path) -> Pixels:
    """Return an image's pixels, RGB, shape (h, w, 3), with EXIF orientation applied.

    Raises OSError for a file that is missing, damaged or truncated.
    """
    # Importing PaddleDetection makes Pillow accept truncated files, in the whole process.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_mask(path: Path) -> Pixels:
    """Return a mask's class numbers, shape (h, w): palette indices, or the first channel."""
    with Image.open(path) as image:
        pixels = np.asarray(image if image.mode in ("P", "L") else image.convert("L"))
    return pixels.astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Return the height and width of what `read_image` returns, reading only the header."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def size_if_whole(path: Path) -> tuple[int, int] | None:
    """Return an image's height and width, None if it is unreadable: `check_images` says why."""
    try:
        return image_size(path)
    except Exception:  # Decoders raise errors of many kinds.
        return None


def check_images(images: Iterable[tuple[Path, str]], problems: Problems) -> None:
    """Note every image that cannot be fully decoded; each comes with where it is listed."""

    def failure(path: Path) -> str | None:
        if not path.is_file():
            return f"image {path} is missing; restore it or remove the line"
        try:
            read_image(path)
        except Exception as error:  # Decoders raise errors of many kinds.
            return f"image {path} cannot be read ({one_line(error)}); replace it"
        return None

    listed = list(images)
    # Each file is decoded once, however often it is listed.
    paths = list(dict.fromkeys(path for path, _ in listed))
    with ThreadPoolExecutor(READERS) as pool:
        failures = dict(zip(paths, pool.map(failure, paths), strict=True))
    for path, where in listed:
        what = failures[path]
        if what is not None:
            problems.note(where, what)
