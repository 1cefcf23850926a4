"""How PaddleDetection's EvalReader makes the network's input of an image file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spaces.errors import TaskError
from trainables.data.detection import Box, BoxedImage

# The operators that are understood, with their keys and the toolkit's defaults, in their order.
OPERATORS: dict[str, dict[str, Any]] = {
    "Decode": {},
    "Resize": {"target_size": None, "keep_ratio": None, "interp": cv2.INTER_LINEAR},
    "NormalizeImage": {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "is_scale": True,
        "norm_type": "mean_std",
    },
    "Permute": {},
}
INTERPOLATIONS = {
    cv2.INTER_NEAREST: "nearest",
    cv2.INTER_LINEAR: "bilinear",
    cv2.INTER_CUBIC: "bicubic",
    cv2.INTER_AREA: "area",
    cv2.INTER_LANCZOS4: "lanczos",
}


@dataclass(frozen=True)
class LoadedImage:
    tensor: np.ndarray
    """The network's input, shape (3, height, width)."""
    boxes: list[Box]
    """In pixels of it."""
    size: tuple[float, float]
    """Height and width of the image within the input; right of and below it is padding."""


@dataclass(frozen=True)
class Reader:
    """EvalReader's transforms."""

    sides: tuple[int, int]
    """Height and width: of the input or, keeping the aspect, what an image has to fit into."""
    keep_ratio: bool
    turned: bool
    """Whether an upright image may fit into width and height instead, as the toolkit has it."""
    interpolation: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    canvas: tuple[int, int]
    """Height and width of the network's input."""

    def load(self, sample: BoxedImage, mirrored: bool = False) -> LoadedImage:
        pixels = decoded(sample.image)
        height, width = pixels.shape[:2]
        down, across = self.factors(height, width)
        # As the toolkit calls it: the factors, not the size, so that the result is the same.
        resized = cv2.resize(
            pixels, None, None, fx=across, fy=down, interpolation=self.interpolation
        )
        size = (height * down, width * across)
        boxes = [box.scaled(across, down) for box in sample.boxes]
        if mirrored:
            boxes = [box.mirrored(resized.shape[1]) for box in boxes]
            resized = resized[:, ::-1]
        return LoadedImage(self._padded(resized), boxes, size)

    def factors(self, height: int, width: int) -> tuple[float, float]:
        """Return what an image's height and width are multiplied by."""
        if not self.keep_ratio:
            return self.sides[0] / height, self.sides[1] / width
        high, wide = self.sides
        scale = min(high / height, wide / width)
        if self.turned:
            scale = min(min(high, wide) / min(height, width), max(high, wide) / max(height, width))
        return scale, scale

    def _padded(self, pixels: np.ndarray) -> np.ndarray:
        """Return the normalized image in the left upper corner of the input, zeros around it."""
        values = pixels.astype("float32") * np.float32(self.scale)
        # In two steps, each rounded, as the toolkit does it in place.
        values = (values - np.array(self.mean)).astype("float32")
        values = (values / np.array(self.std)).astype("float32")
        if values.shape[:2] == self.canvas:
            return np.ascontiguousarray(values.transpose(2, 0, 1))
        padded = np.zeros((3, *self.canvas), "float32")
        padded[:, : values.shape[0], : values.shape[1]] = values.transpose(2, 0, 1)
        return padded


def decoded(path: Path) -> np.ndarray:
    """Return an image as red, green and blue, decoded by OpenCV as the toolkit does.

    Raises OSError for a file that it cannot decode.
    """
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), "uint8"), cv2.IMREAD_COLOR)
    if pixels is None:
        raise OSError(f"image {path} cannot be decoded by OpenCV; replace it")
    rgb: np.ndarray = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def eval_reader(
    config: Mapping[str, Any], image_size: int | Sequence[int] | None, multiple: int
) -> Reader:
    """Return the reader of a configuration.

    `image_size`, a side or height and width, replaces the size that the configuration resizes to.
    The input's sides are to be multiples of `multiple`, those of the network's coarsest map.
    """
    section: Mapping[str, Any] = config.get("EvalReader") or {}
    found = _operators(section.get("sample_transforms") or [])
    multiple = max(multiple, _pad_to_stride(section.get("batch_transforms") or []))
    resize = found.get("Resize", OPERATORS["Resize"])
    target = resize["target_size"]
    sides = _sides(image_size if image_size is not None else target)
    keep_ratio = bool(resize["keep_ratio"])
    canvas = sides
    # Images may be upright or not. A size that the user gives is what they fit into.
    turned = keep_ratio and image_size is None
    if keep_ratio:
        canvas = (max(sides), max(sides)) if turned else sides
        canvas = (_rounded_up(canvas[0], multiple), _rounded_up(canvas[1], multiple))
    elif any(side % multiple for side in canvas):
        raise TaskError(
            f"image_size {list(canvas)} is not a multiple of {multiple}, which this network needs"
        )
    normalize = found.get("NormalizeImage")
    scale, mean, std = 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if not section:
        normalize = OPERATORS["NormalizeImage"]
    if normalize is not None:
        scale = 1 / 255 if normalize["is_scale"] else 1.0
        if normalize["norm_type"] == "mean_std":
            mean, std = tuple(normalize["mean"]), tuple(normalize["std"])
    return Reader(sides, keep_ratio, turned, resize["interp"], scale, mean, std, canvas)


def _operators(transforms: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return EvalReader's operators with all their keys.

    Raises TaskError for one that is not understood, or that stands where it means another thing.
    """
    found: dict[str, dict[str, Any]] = {}
    for transform in transforms:
        for name, options in dict(transform).items():
            if name not in OPERATORS:
                raise TaskError(
                    f"EvalReader: {name} is not understood here; {', '.join(OPERATORS)} are, "
                    "in this order"
                )
            unknown = set(options or {}) - set(OPERATORS[name])
            if unknown:
                raise TaskError(f"EvalReader: {name} has no {min(unknown)!r}; remove it")
            found[name] = {**OPERATORS[name], **(options or {})}
    if transforms and list(found) != [name for name in OPERATORS if name in found]:
        raise TaskError(
            f"EvalReader: {', '.join(found)} is not the order {', '.join(OPERATORS)}; change it"
        )
    interpolation = found.get("Resize", OPERATORS["Resize"])["interp"]
    if interpolation not in INTERPOLATIONS:
        raise TaskError(
            f"EvalReader: Resize: interp {interpolation!r} is not one of OpenCV's "
            f"{', '.join(map(str, INTERPOLATIONS))}"
        )
    normalization = found.get("NormalizeImage", OPERATORS["NormalizeImage"])["norm_type"]
    if normalization not in ("mean_std", "none"):
        raise TaskError(
            f"EvalReader: NormalizeImage: norm_type {normalization!r} is not mean_std or none"
        )
    return found


def _pad_to_stride(transforms: Sequence[Any]) -> int:
    stride = 1
    for transform in transforms:
        for name, options in dict(transform).items():
            if name != "PadBatch" or set(options or {}) - {"pad_to_stride"}:
                raise TaskError(
                    f"EvalReader: batch transform {name} {options} is not understood here; "
                    "PadBatch with pad_to_stride is"
                )
            stride = max(stride, int((options or {}).get("pad_to_stride", 0)))
    return stride


def _sides(size: Any) -> tuple[int, int]:
    """Return a height and a width."""
    if size is None:
        raise TaskError("image_size is not given and EvalReader has no Resize; give one of the two")
    sides = [size, size] if isinstance(size, int) else size
    try:
        height, width = (int(side) for side in sides)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise TaskError(f"image_size {size!r} is not a side or [height, width] in pixels")
    return height, width


def _rounded_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
