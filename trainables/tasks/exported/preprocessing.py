"""How an image becomes a model's input: from options, or from what a toolkit wrote beside it.

PaddleClas, PaddleOCR and PaddleX write inference.yml, PaddleDetection infer_cfg.yml, PaddleSeg
deploy.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from spaces.errors import TaskError
from trainables.data.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CenterCrop,
    Interpolation,
    Normalize,
    Preparation,
    Resize,
    Step,
)
from trainables.data.text import MIDDLE, line_steps
from trainables.files.yaml_reader import YamlError, read_yaml
from trainables.remarks import remark
from trainables.tasks.config_file import pixel_scale
from trainables.tasks.exported.options import Size, numbers, pairs
from trainables.tasks.exported.program import Fed

WRITTEN = ("inference.yml", "inference.yaml", "infer_cfg.yml", "deploy.yaml")
# Transforms that change no pixels.
WITHOUT_EFFECT = (
    *("DecodeImage", "ToCHWImage", "Permute", "KeepKeys"),
    *("DetLabelEncode", "CTCLabelEncode", "MultiLabelEncode"),
)
INTERPOLATIONS: Mapping[int, Interpolation] = {
    0: "nearest",
    1: "bilinear",
    2: "bicubic",
    3: "area",
    4: "lanczos",
}
Resizing = Literal["exact", "line"]
"""To the input's height and width, or as PaddleOCR resizes a line of text: to the height, with the
aspect ratio, up to the width."""
RESIZINGS: tuple[Resizing, ...] = get_args(Resizing)


@dataclass(frozen=True)
class Prepared:
    """What is known of a model's preprocessing."""

    steps: tuple[Step, ...] = ()
    """Before the normalization; without any the image is resized as `resize` says."""
    resize: Resizing = "exact"
    size: tuple[int, int] | None = None
    """Height and width of the input."""
    scale: float = 1 / 255
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: str = "RGB"
    file: Path | None = field(default=None, compare=False)


# PaddleOCR's, of recognisers.
OF_LINES = Prepared(resize="line", mean=(MIDDLE,), std=(MIDDLE,), channel_order="BGR")


def written_beside(folder: Path) -> Prepared | None:
    """Return the preprocessing that a toolkit wrote beside a model; None if there is no file.

    Raises TaskError, in one line, for a transform that is not known.
    """
    file = next((folder / name for name in WRITTEN if (folder / name).is_file()), None)
    if file is None:
        return None
    transforms = _transforms(read_written(file))
    found = Prepared(file=file, scale=1.0, mean=(0.0,), std=(1.0,))
    for name, given in transforms:
        found = _with(found, name, given, file)
    return found


def read_written(file: Path) -> Mapping[str, Any]:
    """Return what a toolkit wrote beside a model. Raises TaskError for a file that is no YAML."""
    try:
        config = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, YamlError, UnicodeDecodeError) as error:
        raise TaskError(f"{file} is not YAML ({error}); correct or remove it") from error
    return config if isinstance(config, Mapping) else {}


def _transforms(config: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the transforms of a toolkit's file, by name."""
    if isinstance(config.get("Deploy"), Mapping):
        named = config["Deploy"].get("transforms") or []
        return [(str(t.get("type")), _height_first(t)) for t in named]
    if isinstance(config.get("Preprocess"), Sequence):
        return [(str(t.get("type")), dict(t)) for t in config["Preprocess"]]
    steps = (config.get("PreProcess") or {}).get("transform_ops") or []
    return [(name, dict(given or {})) for step in steps for name, given in step.items()]


def _height_first(transform: Mapping[str, Any]) -> dict[str, Any]:
    """Return a transform of PaddleSeg's, which writes widths first, with heights first."""
    size = transform.get("target_size")
    return {**transform, "target_size": size[::-1] if isinstance(size, list) else size}


def _with(found: Prepared, name: str, given: dict[str, Any], file: Path) -> Prepared:
    if name == "DecodeImage":
        order = str(given.get("img_mode", found.channel_order))
        return replace(found, channel_order=order if order in ("RGB", "BGR") else "RGB")
    if name in WITHOUT_EFFECT:
        return found
    if name in ("NormalizeImage", "Normalize"):
        return _normalized(found, name, given, file)
    if name == "CropImage":
        size = _pair(given.get("size"), file)
        return replace(found, steps=(*found.steps, CenterCrop(*size)), size=size)
    if name in ("Resize", "ResizeImage"):
        return _resized(found, name, given, file)
    if name == "RecResizeImg":
        return _of_line(found, given, file)
    raise TaskError(
        f"{file}: transform {name} is not supported; give task_options mean, std, scale, size and "
        "channel_order, which are then taken instead of the file"
    )


def _normalized(found: Prepared, name: str, given: dict[str, Any], file: Path) -> Prepared:
    default = 0.5 if name == "Normalize" else None
    mean = given.get("mean", default if default is not None else IMAGENET_MEAN)
    std = given.get("std", default if default is not None else IMAGENET_STD)
    is_plain = given.get("norm_type", "mean_std") == "none"
    scale = 1 / 255
    if name == "NormalizeImage":
        # PaddleDetection says whether pixels are divided, the others by what.
        divided = given.get("is_scale", True)
        scale = pixel_scale(given.get("scale"), f"{file}:") if divided else 1.0
    return replace(
        found,
        scale=scale,
        mean=(0.0,) if is_plain else _numbers(mean),
        std=(1.0,) if is_plain else _numbers(std),
    )


def _resized(found: Prepared, name: str, given: dict[str, Any], file: Path) -> Prepared:
    how = INTERPOLATIONS.get(given.get("interp", 1), "bilinear")
    if "resize_short" in given:
        step = Resize("shorter_side", int(given["resize_short"]), library="opencv")
        return replace(found, steps=(*found.steps, step))
    wanted = given.get("target_size", given.get("size"))
    if given.get("keep_ratio") or wanted is None:
        raise TaskError(
            f"{file}: {name} keeps the image's aspect ratio, and an engine has one size; give "
            "task_options mean, std, scale, size and channel_order"
        )
    size = _pair(wanted, file)
    step = Resize("exact", None, *size, library="opencv", interpolation=how)
    return replace(found, steps=(*found.steps, step), size=size)


def _of_line(found: Prepared, given: dict[str, Any], file: Path) -> Prepared:
    """Return PaddleOCR's preparation of lines, which normalizes too."""
    shape = given.get("image_shape")
    size = _pair(shape[1:] if isinstance(shape, list) else shape, file)
    resize: Resizing = "line" if given.get("padding", True) else "exact"
    order = found.channel_order
    return replace(OF_LINES, resize=resize, size=size, channel_order=order, file=file)


def _pair(size: Any, file: Path) -> tuple[int, int]:
    pair = [size, size] if isinstance(size, int) else list(size or [])
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise TaskError(f"{file}: size {size!r} is not one or two numbers of pixels")
    return pair[0], pair[1]


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(map(float, values)) if isinstance(values, Sequence) else (float(values),)


def _said(
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    scale: float | str | None,
    order: str | None,
    resize: str | None,
) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if mean is not None:
        said["mean"] = numbers(mean, "mean")
    if std is not None:
        said["std"] = numbers(std, "std")
        if not min(said["std"], default=0.0) > 0:
            raise TaskError(f"task_options.std {std!r} has a value that is not above 0")
    if scale is not None:
        said["scale"] = pixel_scale(scale, "task_options.scale:")
    if order is not None:
        if order not in ("RGB", "BGR"):
            raise TaskError(f"task_options.channel_order {order!r} is not RGB or BGR")
        said["channel_order"] = order
    if resize is not None:
        if resize not in RESIZINGS:
            raise TaskError(
                f"task_options.resize {resize!r} is not {' or '.join(RESIZINGS)}; line keeps the "
                "aspect ratio of a line of text"
            )
        # It takes the place of a toolkit's steps.
        said |= {"resize": resize, "steps": ()}
    return said


def preprocessing(
    folder: Path,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    scale: float | str | None = None,
    channel_order: str | None = None,
    resize: str | None = None,
    *,
    reads_lines: bool = False,
) -> Prepared:
    """Return a model's preprocessing: as said, else as written beside it, else ImageNet's, or that
    of PaddleOCR's recognisers for a model that reads lines of text."""
    said = _said(mean, std, scale, channel_order, resize)
    written = None if {"mean", "std", "scale"} <= said.keys() else written_beside(folder)
    if written is not None:
        remark(f"images are prepared as {written.file} says")
        return replace(written, **said)
    of_lines = said.get("resize", "line" if reads_lines else "exact") == "line"
    default = replace(OF_LINES if of_lines else Prepared(), **said)
    if of_lines:
        remark(
            "images are lines of text, resized as PaddleOCR does: with their aspect ratio, up to "
            f"the input's width, in {default.channel_order} (task_options resize, channel_order)"
        )
    if "mean" not in said or "std" not in said:
        whose = "PaddleOCR's for lines (0.5)" if of_lines else "ImageNet's"
        remark(
            f"mean and std are not given, nor written beside the model: {whose} are taken "
            "(task_options mean, std, scale, channel_order)"
        )
    return default


def input_shapes(fed: Fed, prepared: Prepared, size: Any) -> list[tuple[int, ...]]:
    """Return an input's shapes without the batch axis, one for each size.

    Raises TaskError if a size is free and not given, or is not the one that the model has.
    """
    named = size if size is not None else prepared.size
    sizes = pairs(named) if named is not None else ()
    if len(fed.shape) != 4 or not sizes:
        return [_shape(fed, None)]
    return [_shape(fed, one) for one in sizes]


def _shape(fed: Fed, size: Size | None) -> tuple[int, ...]:
    shape = list(fed.shape[1:])
    for axis, side in enumerate(size or (), start=1):
        if shape[axis] not in (-1, side):
            raise TaskError(
                f"size {list(size or ())}: the model was exported for {shape[1]} x {shape[2]}; "
                "leave out size, or export the model for other sizes"
            )
        shape[axis] = side
    if -1 in shape:
        raise TaskError(
            f"input {fed.name} has free sizes {tuple(fed.shape)}; give those of the engine with "
            "task_options.size, for example [480, 480]"
        )
    return tuple(shape)


def image_preparation(prepared: Prepared, shape: Sequence[int]) -> Preparation:
    """Return the steps from an image to an input of this shape."""
    if prepared.resize == "line":
        return Preparation(line_steps(shape[1], shape[2]), decoder="opencv")
    resize = Resize("exact", height=shape[1], width=shape[2], library="opencv")
    fits = bool(prepared.steps) and prepared.size == tuple(shape[1:])
    steps = prepared.steps if fits else (resize,)
    return Preparation((*steps, Normalize()), decoder="opencv")
