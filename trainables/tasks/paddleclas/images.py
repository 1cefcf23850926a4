"""Preprocessing of images, from PaddleClas's configurations.

The evaluation's operators become a `Preparation` whose tensor equals the toolkit's. Of training's
operators, crops and mirroring are supported; the others are omitted, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spaces.errors import TaskError
from trainables.data.image_batches import Preprocessing
from trainables.data.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CenterCrop,
    CenterSquare,
    Library,
    Normalize,
    Preparation,
    Resize,
    Step,
)
from trainables.data.preparing import OPENCV, PILLOW
from trainables.task import ModelInput
from trainables.tasks.config_file import pixel_scale, section

# Supported keys of each evaluation operator: any other may change the pixels.
SUPPORTED: Mapping[str, tuple[str, ...]] = {
    "DecodeImage": ("to_np", "to_rgb", "channel_first", "backend"),
    "ResizeImage": ("size", "resize_short", "interpolation", "backend", "return_numpy"),
    "CropImage": ("size",),
    "CropImageAtRatio": ("size", "pad", "interpolation"),
    "NormalizeImage": ("scale", "mean", "std", "order", "output_fp16", "channel_num"),
    "ToCHWImage": (),
}
# Supported operators of training; decoding and normalization are the evaluation's.
SUPPORTED_IN_TRAINING = {
    "DecodeImage",
    "RandCropImage",
    "RandFlipImage",
    "NormalizeImage",
    "ToCHWImage",
}
# Range of RandCropImage's area for a configuration without one: the toolkit's default.
DEFAULT_AREAS = (0.08, 1.0)


def operators(
    config: Mapping[str, Any], split: str, key: str = "transform_ops"
) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the settings of a split's operators, in order."""
    given = section(config, "DataLoader", split, "dataset").get(key) or []
    return [(name, dict(keys or {})) for entry in given for name, keys in entry.items()]


def preprocessing(config: Mapping[str, Any], file: str, image_size: int | None) -> Preprocessing:
    """Return the preprocessing that the operators of Train and Eval describe.

    Raises TaskError for an operator or key that would change the evaluation's pixels.
    """
    evaluated = _Reader(f"config_file {file}: Eval's").read(operators(config, "Eval"), image_size)
    trained = dict(operators(config, "Train"))
    crop = trained.get("RandCropImage")
    mirrors = trained.get("RandFlipImage", {}).get("flip_code", 1) == 1
    if crop is None:
        return Preprocessing(evaluated, areas=None, mirrors="RandFlipImage" in trained and mirrors)
    library: Library = "pillow" if str(crop.get("backend")).lower() == "pil" else "opencv"
    interpolation = str(crop.get("interpolation") or "bilinear").lower()
    known = PILLOW if library == "pillow" else OPENCV
    return Preprocessing(
        evaluated,
        areas=tuple(crop.get("scale") or DEFAULT_AREAS),  # type: ignore[arg-type]
        aspects=tuple(crop.get("ratio") or Preprocessing.aspects),  # type: ignore[arg-type]
        library=library,
        # `random` chooses between two each time.
        interpolation=interpolation if interpolation in known else "bilinear",  # type: ignore[arg-type]
        mirrors="RandFlipImage" in trained and mirrors,
    )


def omitted_augmentations(config: Mapping[str, Any]) -> list[str]:
    """Return the names of training operators that are not supported."""
    names = [name for name, _ in operators(config, "Train") if name not in SUPPORTED_IN_TRAINING]
    for name, keys in operators(config, "Train", "batch_transform_ops"):
        names += [name] if name != "OpSampler" else list(keys)
    return names


@dataclass
class _Reader:
    """Reads the evaluation's operators; error messages begin with `where`."""

    where: str

    def read(self, given: Sequence[tuple[str, dict[str, Any]]], side: int | None) -> ModelInput:
        decoder, turned, order = self._decoding(dict(given).get("DecodeImage") or {})
        steps: list[Step] = []
        normalization: dict[str, Any] = {}
        for name, keys in given:
            self._check(name, keys)
            if name == "NormalizeImage":
                normalization = keys
                steps.append(Normalize(zero_channels=int(keys.get("channel_num") or 3) - 3))
            else:
                steps += self._steps(name, keys)
        if not any(isinstance(step, Normalize) for step in steps):
            raise TaskError(f"{self.where} images are not normalized; add NormalizeImage")
        height, width = self._size(steps)
        if side is not None:
            steps = list(_scaled(steps, side, min(height, width)))
            height = width = side
        zeros = sum(step.zero_channels for step in steps if isinstance(step, Normalize))
        return ModelInput(
            "image",
            (3 + zeros, height, width),
            channel_order=order,
            scale=pixel_scale(normalization.get("scale"), self.where),
            mean=tuple(normalization.get("mean") or IMAGENET_MEAN),
            std=tuple(normalization.get("std") or IMAGENET_STD),
            image=Preparation(tuple(steps), decoder, turned),
        )

    def _check(self, name: str, keys: Mapping[str, Any]) -> None:
        if name not in SUPPORTED:
            raise TaskError(f"{self.where} {name} is not supported; {', '.join(SUPPORTED)} are")
        for key in keys:
            if key not in SUPPORTED[name]:
                allowed = ", ".join(SUPPORTED[name]) or "none"
                raise TaskError(f"{self.where} {name}: key {key!r} is not supported; {allowed} are")
        if keys.get("output_fp16"):
            raise TaskError(f"{self.where} {name}: output_fp16 is not supported; give false")
        if keys.get("channel_first"):
            raise TaskError(f"{self.where} {name}: channel_first is not supported; give false")

    def _library(self, name: str, backend: object) -> Library:
        if str(backend).lower() not in ("cv2", "pil"):
            raise TaskError(f"{self.where} {name}: backend {backend!r} is not cv2 or pil")
        return "pillow" if str(backend).lower() == "pil" else "opencv"

    def _decoding(self, keys: Mapping[str, Any]) -> tuple[Library, bool, str]:
        """Return the decoder, whether it applies EXIF orientation, and the channel order."""
        decoder = self._library("DecodeImage", keys.get("backend", "cv2"))
        # With `to_np: false` the image stays a PIL image, which is RGB whatever `to_rgb` says.
        rgb = keys.get("to_rgb", True) or (decoder == "pillow" and not keys.get("to_np", True))
        return decoder, decoder == "opencv", "RGB" if rgb else "BGR"

    def _steps(self, name: str, keys: Mapping[str, Any]) -> list[Step]:
        if name == "ResizeImage":
            library = self._library(name, keys.get("backend", "cv2"))
            interpolation = str(keys.get("interpolation") or "bilinear").lower()
            known = OPENCV if library == "opencv" else PILLOW
            if interpolation not in known:
                raise TaskError(
                    f"{self.where} {name}: interpolation {interpolation!r} is not one of "
                    f"{', '.join(known)}"
                )
            resize = Resize(library=library, interpolation=interpolation)  # type: ignore[arg-type]
            short = keys.get("resize_short")
            if short and short > 0:
                return [replace(resize, rule="shorter_side", side=int(short))]
            if keys.get("size") is None:
                raise TaskError(f"{self.where} {name} has neither size nor resize_short; give one")
            width, height = self._pair(keys["size"])
            return [replace(resize, height=height, width=width)]
        if name == "CropImage":
            width, height = self._pair(keys.get("size"))
            return [CenterCrop(height, width)]
        if name == "CropImageAtRatio":
            side, pad = int(keys["size"]), int(keys["pad"])
            interpolation = str(keys.get("interpolation") or "bilinear").lower()
            if interpolation not in OPENCV:
                raise TaskError(
                    f"{self.where} {name}: interpolation {interpolation!r} is not supported"
                )
            resize = Resize(
                height=side,
                width=side,
                library="opencv",
                interpolation=interpolation,  # type: ignore[arg-type]
            )
            return [CenterSquare(side / (side + pad)), resize]
        return []

    def _pair(self, size: object) -> tuple[int, int]:
        """Return width and height, which is the toolkit's order."""
        width, height = size if isinstance(size, list | tuple) else (size, size)
        return int(width), int(height)  # type: ignore[call-overload]

    def _size(self, steps: Sequence[Step]) -> tuple[int, int]:
        """Return the height and width of every image after the last step."""
        found: tuple[int, int] | None = None
        shortest: int | None = None
        for step in steps:
            if isinstance(step, Resize):
                exact = step.rule == "exact"
                assert not exact or (step.height is not None and step.width is not None)
                found = (step.height, step.width) if exact else None  # type: ignore[assignment]
                shortest = min(found) if found else step.side
            elif isinstance(step, CenterCrop):
                if shortest is not None and max(step.height, step.width) > shortest:
                    raise TaskError(
                        f"{self.where} CropImage {step.height} x {step.width} is larger than the "
                        f"resized image's shorter side, {shortest}"
                    )
                found = step.height, step.width
        if found is None or shortest is None:
            raise TaskError(
                f"{self.where} images have no fixed size; give ResizeImage and then CropImage"
            )
        return found


def _scaled(steps: Sequence[Step], side: int, given: int) -> Iterator[Step]:
    """Yield the steps to an input of side `side` instead of `given`, in the same proportions."""
    for step in steps:
        if isinstance(step, Resize) and step.rule == "shorter_side":
            assert step.side is not None
            yield replace(step, side=round(step.side * side / given))
        elif isinstance(step, CenterCrop):
            yield CenterCrop(side, side)
        elif isinstance(step, Resize):
            # A crop that follows keeps its proportion of the image.
            assert step.height is not None and step.width is not None
            scaled = (round(length * side / given) for length in (step.height, step.width))
            height, width = (max(length, side) for length in scaled)
            yield replace(step, height=height, width=width)
        else:
            yield step
