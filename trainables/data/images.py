"""Images from files, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from spaces.errors import one_line
from trainables.data.problems import Problems

READERS = 8

Pixels = NDArray[np.uint8]


def read_image(path: Path) -> Pixels:
    """Return an image as red, green and blue, shape (h, w, 3), turned as its camera says.

    Raises OSError for a file that is missing, damaged or cut short.
    """
    # PaddleDetection's import lets damaged files pass, in the whole process.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def normalized(pixels: Pixels, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return pixels (h, w, channels) of 0 to 255 as a tensor (channels, h, w)."""
    scaled = (pixels / np.float32(255) - np.array(mean, "float32")) / np.array(std, "float32")
    return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype="float32")


def read_mask(path: Path) -> Pixels:
    """Return a mask's class numbers, shape (h, w): palette indices, or the first channel."""
    with Image.open(path) as image:
        pixels = np.asarray(image if image.mode in ("P", "L") else image.convert("L"))
    return pixels.astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Return an image's height and width as `read_image` gives it, from its header alone."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def size_if_whole(path: Path) -> tuple[int, int] | None:
    """Return an image's height and width, None if it has none to tell: `check_images` says why."""
    try:
        return image_size(path)
    except Exception:  # Decoders raise every kind.
        return None


def check_images(images: Iterable[tuple[Path, str]], problems: Problems) -> None:
    """Note every image that cannot be decoded to its last pixel; each comes with its line."""

    def failure(path: Path) -> str | None:
        if not path.is_file():
            return f"image {path} is missing; restore it or take the line out"
        try:
            read_image(path)
        except Exception as error:  # Decoders raise every kind.
            return f"image {path} cannot be read ({one_line(error)}); replace it"
        return None

    listed = list(images)
    # A file may be listed many times.
    paths = list(dict.fromkeys(path for path, _ in listed))
    with ThreadPoolExecutor(READERS) as pool:
        failures = dict(zip(paths, pool.map(failure, paths), strict=True))
    for path, where in listed:
        what = failures[path]
        if what is not None:
            problems.note(where, what)
