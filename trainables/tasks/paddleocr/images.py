"""What PaddleOCR's text detectors do to an image, as this project writes it down.

The toolkit's network takes any size, an engine one. `image_shape` is one; without it the toolkit
keeps an image's proportions, so the size that most images of Eval get is taken, or `image_size`:
those images give the toolkit's own tensor. Others are shrunk to fit, if they have to be, and filled
up to the right and below with the mean colour, which is what the network's own padding looks like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spaces.errors import TaskError
from trainables.data.image_input import Normalize, Pad, Preparation, Resize
from trainables.data.preparing import target_size
from trainables.remarks import remark
from trainables.task import ModelInput
from trainables.tasks.config_file import pixel_scale

Transforms = Sequence[tuple[str, dict[str, Any]]]

# The keys that each transform of an evaluation may have: another one may change the pixels.
KNOWN: Mapping[str, tuple[str, ...] | None] = {
    "DecodeImage": ("img_mode", "channel_first"),
    "DetResizeForTest": (
        *("image_shape", "keep_ratio", "limit_side_len", "limit_type", "resize_long"),
    ),
    "NormalizeImage": ("scale", "mean", "std", "order"),
    "ToCHWImage": (),
    # These are about labels, and which arrays go on.
    "DetLabelEncode": None,
    "KeepKeys": None,
}
# Transforms of training that crops and mirror images stand for, or that make the targets.
REPEATED = {
    *("DecodeImage", "DetLabelEncode", "NormalizeImage", "ToCHWImage", "KeepKeys"),
    *("EastRandomCropData", "MakeBorderMap", "MakeShrinkMap"),
}
# What the toolkit's transforms take by themselves.
SIDE, MEAN, STD = 736, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDE = 32
LONG_STRIDE = 128
RULES = {"min": "at_least", "max": "at_most", "resize_long": "longer_side"}


def transforms(dataset: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the settings of each of a data set's transforms, in order."""
    given = dataset.get("transforms") or ()
    return [(name, dict(keys or {})) for entry in given for name, keys in entry.items()]


def left_out(dataset: Mapping[str, Any]) -> list[str]:
    """Return the names of training's transforms that are not repeated here."""
    return [name for name, _ in transforms(dataset) if name not in REPEATED]


def evaluated_input(
    given: Transforms,
    where: str,
    image_size: Sequence[int] | None,
    sizes: Sequence[tuple[int, int]],
) -> ModelInput:
    """Return the engine's input; `sizes` are the heights and widths of Eval's images.

    Raises TaskError, beginning with `where`, for what would give the evaluation other pixels.
    """
    for name, keys in given:
        if name not in KNOWN:
            raise TaskError(f"{where} {name} is not known here; {', '.join(KNOWN)} are")
        known = KNOWN[name]
        unknown = [key for key in keys if known is not None and key not in known]
        if unknown:
            allowed = ", ".join(known or ()) or "none"
            raise TaskError(f"{where} {name}: key {unknown[0]!r} is not known; {allowed} are")
    settings = dict(given)
    decoding = settings.get("DecodeImage", {"img_mode": "BGR"})
    mode = decoding.get("img_mode", "RGB")
    if mode not in ("RGB", "BGR") or decoding.get("channel_first"):
        raise TaskError(
            f"{where} DecodeImage: img_mode {mode!r}, channel_first "
            f"{decoding.get('channel_first', False)} cannot be had; BGR or RGB with false can"
        )
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
        mean=tuple(normalization.get("mean") or MEAN),
        std=tuple(normalization.get("std") or STD),
        image=Preparation(steps, "opencv", turned=True),
    )


def _resize(keys: Mapping[str, Any], where: str) -> Resize:
    """Return DetResizeForTest in one of its forms; all but a fixed shape round to multiples."""
    way = Resize(multiple=STRIDE, library="opencv")
    if "image_shape" in keys:
        height, width = (int(side) for side in keys["image_shape"])
        if keys.get("keep_ratio"):
            # The width alone is rounded, and up.
            return replace(way, rule="height", height=height, rounding="up")
        return replace(way, rule="exact", height=height, width=width)
    if "limit_side_len" not in keys and "resize_long" in keys:
        return replace(
            way,
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
    side = int(keys.get("limit_side_len", SIDE))
    return replace(way, rule=RULES[limit], side=side, whole_first=True)  # type: ignore[arg-type]


def _fixed(
    resize: Resize, image_size: Sequence[int] | None, sizes: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], tuple[Resize | Normalize | Pad, ...]]:
    """Return the engine's height and width, and the steps to it."""
    given = None if image_size is None else (int(image_size[0]), int(image_size[1]))
    if resize.rule == "exact":
        assert resize.height is not None and resize.width is not None
        height, width = given or (resize.height, resize.width)
        return (height, width), (replace(resize, height=height, width=width), Normalize())
    counts = Counter(target_size(resize, *size) for size in sizes)
    # Of sizes that are equally common, the largest shows most.
    common = max(counts, key=lambda size: (counts[size], size[0] * size[1]), default=(SIDE, SIDE))
    height, width = given or common
    fitting = counts[height, width]
    if fitting < len(sizes):
        remark(
            f"the engine's input is {height} x {width}, PaddleOCR's size for {fitting} of the "
            f"{len(sizes)} images of Eval; the others are fitted into it; image_size sets another"
        )
    bounded = replace(resize, most_height=height, most_width=width)
    return (height, width), (bounded, Normalize(), Pad(height, width))
