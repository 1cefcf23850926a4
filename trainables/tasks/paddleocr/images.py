"""Preprocessing of images, from PaddleOCR's configurations of text detectors.

The toolkit's network takes images of any size, an engine takes one size. With `image_shape` it is
that size. Otherwise the toolkit keeps an image's aspect ratio, and the engine's size is
`image_size` or the most common size of Eval's images: images of that size give the toolkit's own
tensor. Others are shrunk to fit if necessary, and padded at the right and bottom with the mean
colour, which is zero after normalization like the network's own padding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spaces.errors import TaskError
from trainables.data.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalize,
    Pad,
    Preparation,
    Resize,
)
from trainables.data.preparing import target_size
from trainables.remarks import remark
from trainables.task import ModelInput
from trainables.tasks.config_file import pixel_scale

Transforms = Sequence[tuple[str, dict[str, Any]]]

# Supported keys of each evaluation transform: any other may change the pixels. None: any key.
SUPPORTED: Mapping[str, tuple[str, ...] | None] = {
    "DecodeImage": ("img_mode", "channel_first"),
    "DetResizeForTest": (
        *("image_shape", "keep_ratio", "limit_side_len", "limit_type", "resize_long"),
    ),
    "NormalizeImage": ("scale", "mean", "std", "order"),
    "ToCHWImage": (),
    # These affect only labels and the choice of arrays.
    "DetLabelEncode": None,
    "KeepKeys": None,
}
# Supported transforms of training; those on labels are implemented in db_targets.py.
SUPPORTED_IN_TRAINING = {
    *("DecodeImage", "DetLabelEncode", "NormalizeImage", "ToCHWImage", "KeepKeys"),
    *("EastRandomCropData", "MakeBorderMap", "MakeShrinkMap"),
}
# The toolkit's default of `limit_side_len`, in pixels.
DEFAULT_SIDE = 736
# The network's coarsest stride: sides are multiples of it.
STRIDE = 32
# With `resize_long` the toolkit rounds sides to multiples of this.
LONG_STRIDE = 128
# Rules of `Resize` by the toolkit's `limit_type`.
RULES = {"min": "at_least", "max": "at_most", "resize_long": "longer_side"}


def transforms(dataset: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the settings of a data set's transforms, in order."""
    given = dataset.get("transforms") or ()
    return [(name, dict(keys or {})) for entry in given for name, keys in entry.items()]


def omitted_augmentations(dataset: Mapping[str, Any], supported: Container[str]) -> list[str]:
    """Return the names of training transforms that are not supported."""
    return [name for name, _ in transforms(dataset) if name not in supported]


def checked(
    given: Transforms, supported: Mapping[str, tuple[str, ...] | None], where: str
) -> dict[str, dict[str, Any]]:
    """Return the settings of transforms by name; TaskError for one that is not supported."""
    for name, keys in given:
        if name not in supported:
            raise TaskError(f"{where} {name} is not supported; {', '.join(supported)} are")
        known = supported[name]
        unknown = [key for key in keys if known is not None and key not in known]
        if unknown:
            allowed = ", ".join(known or ()) or "none"
            raise TaskError(f"{where} {name}: key {unknown[0]!r} is not supported; {allowed} are")
    return dict(given)


def channel_order(settings: Mapping[str, Mapping[str, Any]], where: str) -> str:
    """Return the order of DecodeImage, RGB or BGR; TaskError for another."""
    decoding = settings.get("DecodeImage", {"img_mode": "BGR"})
    mode = decoding.get("img_mode", "RGB")
    if mode not in ("RGB", "BGR") or decoding.get("channel_first"):
        raise TaskError(
            f"{where} DecodeImage: img_mode {mode!r}, channel_first "
            f"{decoding.get('channel_first', False)} is not supported; BGR or RGB with false is"
        )
    return str(mode)


def evaluated_input(
    given: Transforms,
    where: str,
    image_size: Sequence[int] | None,
    sizes: Sequence[tuple[int, int]],
) -> ModelInput:
    """Return the engine's input; `sizes` are the heights and widths of Eval's images.

    Raises TaskError, beginning with `where`, for a transform or key that would change the
    evaluation's pixels.
    """
    settings = checked(given, SUPPORTED, where)
    mode = channel_order(settings, where)
    resize = _resize(settings.get("DetResizeForTest", {}), where)
    (height, width), steps = _fixed(resize, image_size, sizes)
    if height % STRIDE or width % STRIDE:
        raise TaskError(f"image_size {height} x {width}: both sides must be multiples of {STRIDE}")
    normalization = settings.get("NormalizeImage", {})
    return ModelInput(
        "image",
        (3, height, width),
        channel_order=mode,
        scale=pixel_scale(normalization.get("scale"), where),
        mean=tuple(normalization.get("mean") or IMAGENET_MEAN),
        std=tuple(normalization.get("std") or IMAGENET_STD),
        image=Preparation(steps, "opencv", turned=True),
    )


def _resize(keys: Mapping[str, Any], where: str) -> Resize:
    """Return DetResizeForTest's resize; all its forms but a fixed shape round to multiples."""
    resize = Resize(multiple=STRIDE, library="opencv")
    if "image_shape" in keys:
        height, width = (int(side) for side in keys["image_shape"])
        if keys.get("keep_ratio"):
            # Only the width is rounded, and up.
            return replace(resize, rule="height", height=height, rounding="up")
        return replace(resize, rule="exact", height=height, width=width)
    if "limit_side_len" not in keys and "resize_long" in keys:
        return replace(
            resize,
            rule="longer_side",
            side=int(keys["resize_long"]),
            multiple=LONG_STRIDE,
            rounding="up",
            whole_first=True,
        )
    limit = keys.get("limit_type", "min") if "limit_side_len" in keys else "min"
    if limit not in RULES:
        raise TaskError(
            f"{where} DetResizeForTest: limit_type {limit!r} is not one of {', '.join(RULES)}"
        )
    side = int(keys.get("limit_side_len", DEFAULT_SIDE))
    return replace(resize, rule=RULES[limit], side=side, whole_first=True)  # type: ignore[arg-type]


def _fixed(
    resize: Resize, image_size: Sequence[int] | None, sizes: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], tuple[Resize | Normalize | Pad, ...]]:
    """Return the engine's height and width, and the steps to that size."""
    given = None if image_size is None else (int(image_size[0]), int(image_size[1]))
    if resize.rule == "exact":
        assert resize.height is not None and resize.width is not None
        height, width = given or (resize.height, resize.width)
        return (height, width), (replace(resize, height=height, width=width), Normalize())
    counts = Counter(target_size(resize, *size) for size in sizes)
    default = (DEFAULT_SIDE, DEFAULT_SIDE)
    # The largest of equally common sizes, as it loses the least detail.
    common = max(counts, key=lambda size: (counts[size], size[0] * size[1]), default=default)
    height, width = given or common
    fitting = counts[height, width]
    if fitting < len(sizes):
        remark(
            f"the engine's input is {height} x {width}, PaddleOCR's size for {fitting} of the "
            f"{len(sizes)} images of Eval; the others are shrunk or padded; image_size changes it"
        )
    bounded = replace(resize, most_height=height, most_width=width)
    return (height, width), (bounded, Normalize(), Pad(height, width))
