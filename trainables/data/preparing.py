"""Computes a `Preparation`: an image file's pixels become a model's input.

deploy.py of a delivered model has these functions, specialized for the model's steps
(trainables/deployment/deploy_file.py).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.image_input import (
    CenterCrop,
    CenterSquare,
    Normalize,
    Pad,
    Preparation,
    Resize,
    Rounding,
    Step,
)
from trainables.task import ModelInput

# The libraries' constants by interpolation. OpenCV has no `box` and `hamming`, Pillow no `area`.
OPENCV = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "area": "INTER_AREA",
    "lanczos": "INTER_LANCZOS4",
}
PILLOW = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "lanczos": "LANCZOS",
    "box": "BOX",
    "hamming": "HAMMING",
}


class Placement(NamedTuple):
    """Maps image coordinates to input coordinates: x * scale_x + offset_x, likewise y."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0


def read_pixels(path: Path, how: Preparation, channels: int = 3) -> np.ndarray:
    """Return an image's pixels, shape (height, width, channels), RGB or one grey channel.

    Raises OSError for a missing, damaged or, with Pillow, truncated file; OpenCV fills those up.
    """
    if how.decoder == "pillow":
        from PIL import ImageFile

        # Importing PaddleDetection makes Pillow accept truncated files, in the whole process.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    return decoded(path, how, channels)


def decoded(path: Path, how: Preparation, channels: int) -> np.ndarray:
    """Return an image file's pixels, (height, width, channels)."""
    if how.decoder == "opencv":
        import cv2

        mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), mode)
        if pixels is None:
            raise OSError(f"{path} is not an image that OpenCV can decode")
        return np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1)[..., ::-1])
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(path.read_bytes())) as image:
        upright = ImageOps.exif_transpose(image) if how.turned else image
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def prepare(pixels: np.ndarray, spec: ModelInput) -> np.ndarray:
    """Return the input's tensor, (channels, height, width), of an image's pixels."""
    assert spec.image is not None
    values = pixels[..., ::-1] if spec.channel_order == "BGR" else pixels
    values = values.astype(np.float32) if spec.image.floats else values
    for step in spec.image.steps:
        values = apply(step, values, spec)
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=spec.dtype)


def apply(step: Step, values: np.ndarray, spec: ModelInput) -> np.ndarray:
    """Apply one step to values of shape (height, width, channels)."""
    if isinstance(step, Resize):
        return resized(values, step)
    if isinstance(step, CenterCrop | CenterSquare):
        return _cropped(values, step)
    if isinstance(step, Pad):
        return _padded(values, step)
    return _normalized(values, spec, step)


def resized(values: np.ndarray, step: Resize) -> np.ndarray:
    """Return an image, (height, width, channels), resized by the step's rule."""
    if step.library == "opencv":
        return _resized_by_opencv(values, step)
    from PIL import Image

    filter_ = getattr(Image.Resampling, PILLOW[step.interpolation])
    height, width = values.shape[:2]
    high, wide = target_size(step, height, width)
    # Pillow accepts no axis of one channel.
    given = values[..., 0] if values.shape[2] == 1 else values
    image = Image.fromarray(np.ascontiguousarray(given))
    made = np.asarray(image.resize((wide, high), filter_))
    return made.reshape(*made.shape[:2], -1)


def _resized_by_opencv(values: np.ndarray, step: Resize) -> np.ndarray:
    """Return an image, (height, width, channels), resized."""
    import cv2

    flag = getattr(cv2, OPENCV[step.interpolation])
    given = np.ascontiguousarray(values)
    height, width = values.shape[:2]
    if step.by_factor:
        down, across = resize_factors(step, height, width)
        made = cv2.resize(given, None, None, fx=across, fy=down, interpolation=flag)
    else:
        high, wide = target_size(step, height, width)
        made = cv2.resize(given, (wide, high), interpolation=flag)
    return made.reshape(*made.shape[:2], -1)


def resize_factors(step: Resize, height: int, width: int) -> tuple[float, float]:
    """Return the factors of an image's height and width, before rounding."""
    if step.rule == "exact":
        high, wide = target_size(step, height, width)
        return high / height, wide / width
    factor = _factor(step, height, width)
    return factor, factor


def _factor(step: Resize, height: int, width: int) -> float:
    """Return the common factor of both sides, before rounding."""
    if step.rule in ("inside", "inside_turned"):
        assert step.height is not None and step.width is not None
        if step.rule == "inside":
            return min(step.height / height, step.width / width)
        return min(
            min(step.height, step.width) / min(height, width),
            max(step.height, step.width) / max(height, width),
        )
    if step.rule == "height":
        assert step.height is not None
        return step.height / height
    assert step.side is not None
    if step.rule == "shorter_side":
        return step.side / min(height, width)
    if step.rule == "longer_side":
        return step.side / max(height, width)
    if step.rule == "at_least":
        return max(step.side / min(height, width), 1.0)
    return min(step.side / max(height, width), 1.0)


def target_size(step: Resize, height: int, width: int) -> tuple[int, int]:
    """Return the height and width that an image of this size is resized to."""
    if step.rule == "exact":
        assert step.height is not None and step.width is not None
        return step.height, step.width
    if step.rule == "line":
        assert step.height is not None and step.width is not None
        # The ratio comes first, as in PaddleOCR: its last bit decides what is rounded up.
        return step.height, min(math.ceil(step.height * (width / height)), step.width)
    factor = _factor(step, height, width)
    high = _rounded(step, height * factor)
    wide = _rounded(step, width * factor)
    if step.most_height is None and step.most_width is None:
        return high, wide
    shrink = min((step.most_height or high) / high, (step.most_width or wide) / wide, 1.0)
    if shrink == 1:
        return high, wide
    # Rounded down: anything larger would not fit.
    high = int(high * shrink) // step.multiple
    wide = int(wide * shrink) // step.multiple
    return max(high, 1) * step.multiple, max(wide, 1) * step.multiple


def _rounded(step: Resize, side: float) -> int:
    """Return a side rounded to a multiple of `multiple`, at least one multiple."""
    return max(_whole(_parts(step, side), step.rounding), 1) * step.multiple


def _parts(step: Resize, side: float) -> float:
    return (int(side) if step.whole_first else side) / step.multiple


def _whole(parts: float, rounding: Rounding) -> int:
    if rounding == "nearest":
        return round(parts)
    if rounding == "half_up":
        return math.floor(parts + 0.5)
    return math.floor(parts) if rounding == "down" else math.ceil(parts)


def _cropped(values: np.ndarray, step: CenterCrop | CenterSquare) -> np.ndarray:
    """Return the centre of an image."""
    height, width = values.shape[:2]
    high, wide = _crop_size(step, height, width)
    top, left = (height - high) // 2, (width - wide) // 2
    if top < 0 or left < 0:
        raise ValueError(f"an image of {height} x {width} is smaller than {high} x {wide}")
    return values[top : top + high, left : left + wide]


def _crop_size(step: CenterCrop | CenterSquare, height: int, width: int) -> tuple[int, int]:
    if isinstance(step, CenterCrop):
        return step.height, step.width
    side = int(step.share * min(height, width))
    return side, side


def _pad_size(step: Pad, height: int, width: int) -> tuple[int, int]:
    high = math.ceil((step.height or height) / step.multiple) * step.multiple
    wide = math.ceil((step.width or width) / step.multiple) * step.multiple
    return max(high, height), max(wide, width)


def _padded(values: np.ndarray, step: Pad) -> np.ndarray:
    """Return an image with pixels of one colour beside it."""
    height, width, channels = values.shape
    high, wide = _pad_size(step, height, width)
    top, left = ((high - height) // 2, (wide - width) // 2) if step.at == "center" else (0, 0)
    filled = np.empty((high, wide, channels), values.dtype)
    filled[:] = np.array(step.value)
    filled[top : top + height, left : left + width] = values
    return filled


def _normalized(values: np.ndarray, spec: ModelInput, step: Normalize) -> np.ndarray:
    """Return an image in single precision, scaled, without the mean, over the deviation."""
    precision = np.float64 if step.double else np.float32
    floats = values.astype(np.float32)
    if step.divides:
        floats = floats / np.float32(1 / spec.scale)
    else:
        floats = floats * np.float32(spec.scale)
    # Two steps, each rounded to single precision, as in the toolkits' in-place arithmetic.
    floats = (floats - np.array(spec.mean, precision)).astype(np.float32)
    floats = (floats / np.array(spec.std, precision)).astype(np.float32)
    if step.zero_channels:
        zeros = np.zeros((*floats.shape[:2], step.zero_channels), np.float32)
        floats = np.concatenate((floats, zeros), axis=2)
    return floats


def placement(steps: Sequence[Step], height: int, width: int) -> Placement:
    """Return how the steps map coordinates of an image of this size to the input's."""
    found = Placement()
    for step in steps:
        if isinstance(step, Resize):
            high, wide = target_size(step, height, width)
            across, down = wide / width, high / height
            found = Placement(*(a * b for a, b in zip(found, (across, down) * 2, strict=True)))
        elif isinstance(step, Pad):
            high, wide = _pad_size(step, height, width)
            if step.at == "center":
                found = _moved(found, (wide - width) // 2, (high - height) // 2)
        elif isinstance(step, CenterCrop | CenterSquare):
            high, wide = _crop_size(step, height, width)
            found = _moved(found, -((width - wide) // 2), -((height - high) // 2))
        else:
            continue
        height, width = high, wide
    return found


def _moved(found: Placement, across: float, down: float) -> Placement:
    return found._replace(offset_x=found.offset_x + across, offset_y=found.offset_y + down)
