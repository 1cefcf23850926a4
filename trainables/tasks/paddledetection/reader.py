"""PaddleDetection's EvalReader: from an image file to the network's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from spaces.errors import TaskError
from trainables.data.detection import Box, BoxedImage
from trainables.data.image_input import Interpolation, Normalize, Pad, Preparation, Resize, Rule
from trainables.data.preparing import prepare, read_pixels, resize_factors, target_size
from trainables.task import ModelInput

# Supported operators in their order, with their keys and the toolkit's defaults.
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
# By OpenCV's constant.
INTERPOLATIONS: dict[int, Interpolation] = {
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
    """In pixels of the network's input."""
    size: tuple[float, float]
    """Height and width of the image within the input; the rest, right and below, is padding."""


@dataclass(frozen=True)
class Reader:
    """EvalReader's transforms."""

    input: ModelInput
    """With its preparation in `image`."""
    resize: Resize

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        _, height, width = self.input.shape
        return height, width

    @property
    def keeps_aspect(self) -> bool:
        return self.resize.rule != "exact"

    def load(self, sample: BoxedImage, mirrored: bool = False) -> LoadedImage:
        assert self.input.image is not None
        pixels = read_pixels(sample.image, self.input.image)
        height, width = pixels.shape[:2]
        tensor = prepare(pixels, self.input)
        down, across = resize_factors(self.resize, height, width)
        boxes = [box.scaled(across, down) for box in sample.boxes]
        if mirrored:
            # Only the image is mirrored, not its padding.
            end = target_size(self.resize, height, width)[1]
            tensor[:, :, :end] = tensor[:, :, :end][:, :, ::-1].copy()
            boxes = [box.mirrored(end) for box in boxes]
        return LoadedImage(tensor, boxes, (height * down, width * across))


def eval_reader(
    config: Mapping[str, Any], image_size: int | Sequence[int] | None, multiple: int
) -> Reader:
    """Return the reader of a configuration.

    `image_size`, a side or height and width, replaces the configuration's size. The input's sides
    must be multiples of `multiple`, the stride of the network's coarsest map.
    """
    section: Mapping[str, Any] = config.get("EvalReader") or {}
    found = _operators(section.get("sample_transforms") or [])
    multiple = max(multiple, _pad_to_stride(section.get("batch_transforms") or []))
    options = found.get("Resize", OPERATORS["Resize"])
    height, width = canvas = _sides(options["target_size"] if image_size is None else image_size)
    rule: Rule = "exact"
    if options["keep_ratio"]:
        # The configuration's size applies to both orientations, a size from the user to one.
        rule = "inside_turned" if image_size is None else "inside"
        if image_size is None:
            canvas = (max(canvas), max(canvas))
        canvas = (_rounded_up(canvas[0], multiple), _rounded_up(canvas[1], multiple))
    elif any(side % multiple for side in canvas):
        raise TaskError(
            f"image_size {list(canvas)} is not a multiple of {multiple}, which this network needs"
        )
    resize = Resize(
        rule,
        height=height,
        width=width,
        by_factor=True,
        library="opencv",
        interpolation=INTERPOLATIONS[options["interp"]],
    )
    # Padded with zeros after normalization, as the toolkit's batches are.
    padding = (Pad(*canvas),) if options["keep_ratio"] else ()
    image = Preparation((resize, Normalize(double=True), *padding), decoder="opencv")
    normalize = found.get("NormalizeImage") if section else OPERATORS["NormalizeImage"]
    scale, mean, std = 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if normalize is not None:
        scale = 1 / 255 if normalize["is_scale"] else 1.0
        if normalize["norm_type"] == "mean_std":
            mean, std = tuple(normalize["mean"]), tuple(normalize["std"])
    given = ModelInput("image", (3, *canvas), scale=scale, mean=mean, std=std, image=image)
    return Reader(given, resize)


def _operators(transforms: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return EvalReader's operators with all their keys.

    Raises TaskError for an operator or key that is not supported, or another order.
    """
    found: dict[str, dict[str, Any]] = {}
    for transform in transforms:
        for name, options in dict(transform).items():
            if name not in OPERATORS:
                raise TaskError(
                    f"EvalReader: {name} is not supported; {', '.join(OPERATORS)} are, "
                    "in this order"
                )
            unknown = set(options or {}) - set(OPERATORS[name])
            if unknown:
                raise TaskError(
                    f"EvalReader: {name}: key {min(unknown)!r} is not supported; remove it"
                )
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
                    f"EvalReader: batch transform {name} {options} is not supported; "
                    "PadBatch with pad_to_stride is"
                )
            stride = max(stride, int((options or {}).get("pad_to_stride", 0)))
    return stride


def _sides(size: Any) -> tuple[int, int]:
    """Return height and width. Raises TaskError for anything else."""
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
