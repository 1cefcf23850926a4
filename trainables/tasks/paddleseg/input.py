"""PaddleSeg's validation transforms: from an image file to the network's input.

Transforms that only resize the whole image are replaced by one resize to the engine's size. If they
pad it, their result is resized to the engine's size before normalization. If their result has that
size already, the input equals the toolkit's to the bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spaces.errors import TaskError
from trainables.data.image_input import Interpolation, Normalize, Pad, Preparation, Resize, Step
from trainables.task import ModelInput

Size = tuple[int, int]
"""Height and width, in pixels."""

RESIZING = ("Resize", "ResizeByLong", "ResizeByShort", "LimitLong")
PADDING = ("Padding", "PaddingByAspectRatio", "ScalePadding")
VALIDATION = (*RESIZING, *PADDING, "Normalize")
"""The deterministic transforms; all others are random."""
INTERPOLATIONS: dict[str, Interpolation] = {
    "NEAREST": "nearest",
    "LINEAR": "bilinear",
    "CUBIC": "bicubic",
    "AREA": "area",
    "LANCZOS4": "lanczos",
}


def kind(step: Any) -> str:
    return type(step).__name__


def is_portrait(dataset: Any) -> bool:
    """Whether a data set is EG1800 or SUPERVISELY: three lists of transforms, and BGR images."""
    return hasattr(dataset, "common_transforms")


def add_label_fields(sample: dict[str, Any]) -> dict[str, Any]:
    """Name the label among the fields that transforms change with the image, if none are named."""
    sample.setdefault("gt_fields", ["label"])
    return sample


def resize_validation(dataset: Any, size: Size) -> None:
    """Change a data set's validation transforms so that all images have this size.

    Raises TaskError for a random transform.
    """
    from paddleseg.transforms import Resize as ToolkitResize

    steps = list(dataset.transforms.transforms)
    kinds = [kind(step) for step in steps]
    for step, name in zip(steps, kinds, strict=True):
        is_random = name not in VALIDATION and step is not add_label_fields
        if is_random or getattr(step, "interp", None) == "RANDOM":
            raise TaskError(
                f"val_dataset: transform {name} is random; remove it "
                f"({', '.join(VALIDATION)} are allowed)"
            )
        if name == "ScalePadding" and not is_portrait(dataset):
            raise TaskError("val_dataset: ScalePadding does not pad labels; use Padding")
    interpolation = "LINEAR"
    if not any(name in PADDING for name in kinds):
        # The interpolation of the last Resize is kept.
        given = [step.interp for step in steps if kind(step) == "Resize"]
        interpolation = given[-1] if given else interpolation
        steps = [step for step in steps if kind(step) not in RESIZING]
    normalizing = [index for index, step in enumerate(steps) if kind(step) == "Normalize"]
    position = normalizing[0] if normalizing else len(steps)
    to_size = ToolkitResize(size[::-1], interp=interpolation)
    dataset.transforms.transforms[:] = [*steps[:position], to_size, *steps[position:]]


def model_input(dataset: Any, size: Size) -> ModelInput:
    """Return the input that a data set's validation transforms produce, of this size."""
    channels = int(dataset.transforms.img_channels)
    portrait = is_portrait(dataset)
    mean, std, scale = (0.0,), (1.0,), 1.0
    for step in dataset.transforms.transforms:
        if kind(step) == "Normalize":
            mean, std = (
                tuple(np.broadcast_to(value, channels).astype(float).tolist())
                for value in (step.mean, step.std)
            )
            scale = 1 / 255
    return ModelInput(
        "image",
        (channels, *size),
        channel_order="BGR" if portrait else "RGB",
        scale=scale,
        # The toolkit reverses the channels after normalization.
        mean=mean[::-1] if portrait else mean,
        std=std[::-1] if portrait else std,
        image=_preparation(dataset.transforms.transforms),
    )


def _preparation(transforms: list[Any]) -> Preparation | None:
    """Return transforms as a Preparation; None if one of them cannot be described."""
    steps = [_step(transform) for transform in transforms if transform is not add_label_fields]
    described = [step for step in steps if step is not None]
    if len(described) < len(steps):
        return None
    if not any(isinstance(step, Normalize) for step in described):
        described.append(Normalize())
    return Preparation(tuple(described), decoder="opencv", floats=True)


def _step(step: Any) -> Step | None:
    """Return a toolkit's transform as a step of a Preparation; None if it cannot be described."""
    name = kind(step)
    if name == "Normalize":
        return Normalize(divides=True, double=True)
    if name == "Padding":
        width, height = np.broadcast_to(step.target_size, 2).tolist()
        value = tuple(np.atleast_1d(step.im_padding_value).astype(float).tolist())
        return Pad(height, width, value=value)
    if name == "Resize":
        width, height = step.target_size
        divisor = step.size_divisor or 1
        if step.keep_ratio and divisor > 1:
            return None
        height, width = (math.ceil(side / divisor) * divisor for side in (height, width))
        return Resize(
            "inside_turned" if step.keep_ratio else "exact",
            height=height,
            width=width,
            library="opencv",
            interpolation=INTERPOLATIONS[step.interp],
        )
    if name == "ResizeByLong":
        return Resize("longer_side", step.long_size, library="opencv")
    if name == "ResizeByShort" and step.max_size >= 1e10:
        return Resize("shorter_side", step.short_size, library="opencv")
    if name == "LimitLong" and step.min_long is None and step.max_long is not None:
        return Resize("at_most", step.max_long, library="opencv")
    return None
