"""How PaddleSeg's validation transforms make an image file the network's input.

An image passes through the configuration's validation transforms. Where these only resize the
whole image, it is resized to the engine's size instead, once; where they pad it, what they give is
resized to the engine's size before it is normalized. Where they give that size themselves, the
input is the toolkit's own, to the bit.
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
"""The transforms that give an image the same input each time; all others draw by chance."""
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
    """Whether a data set is EG1800 or SUPERVISELY: three lists of transforms, blue comes first."""
    return hasattr(dataset, "common_transforms")


def name_labels(sample: dict[str, Any]) -> dict[str, Any]:
    """Return a sample whose labels follow its image, where its data set does not say so."""
    sample.setdefault("gt_fields", ["label"])
    return sample


def fit(dataset: Any, size: Size) -> None:
    """Have a data set's validation transforms give images of one size.

    Raises TaskError for a transform that draws by chance.
    """
    from paddleseg.transforms import Resize as ToolkitResize

    steps = list(dataset.transforms.transforms)
    kinds = [kind(step) for step in steps]
    for step, name in zip(steps, kinds, strict=True):
        chance = name not in VALIDATION and step is not name_labels
        if chance or getattr(step, "interp", None) == "RANDOM":
            raise TaskError(
                f"val_dataset: transform {name} draws by chance; take it out "
                f"({', '.join(VALIDATION)} are allowed)"
            )
        if name == "ScalePadding" and not is_portrait(dataset):
            raise TaskError("val_dataset: ScalePadding leaves labels as they were; use Padding")
    how = "LINEAR"
    if not any(name in PADDING for name in kinds):
        # Of several interpolations the last one gave the pixels that training saw.
        how = ([step.interp for step in steps if kind(step) == "Resize"] or [how])[-1]
        steps = [step for step in steps if kind(step) not in RESIZING]
    normalizing = [index for index, step in enumerate(steps) if kind(step) == "Normalize"]
    place = normalizing[0] if normalizing else len(steps)
    to_size = ToolkitResize(size[::-1], interp=how)
    dataset.transforms.transforms[:] = [*steps[:place], to_size, *steps[place:]]


def model_input(dataset: Any, size: Size) -> ModelInput:
    """Return the input that a data set's fitted transforms give at a height and width."""
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
        # The toolkit turns the channels around last of all.
        mean=mean[::-1] if portrait else mean,
        std=std[::-1] if portrait else std,
        image=_preparation(dataset.transforms.transforms),
    )


def _preparation(transforms: list[Any]) -> Preparation | None:
    """Return what an image goes through; None for a transform that has no such description."""
    steps = [_described(step) for step in transforms if step is not name_labels]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        return None
    if not any(isinstance(step, Normalize) for step in known):
        known.append(Normalize())
    return Preparation(tuple(known), decoder="opencv", floats=True)


def _described(step: Any) -> Step | None:
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
