"""Images with one mask each, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spaces.errors import one_line
from trainables.data.images import check_images, image_size, read_mask, size_if_whole
from trainables.data.problems import Problems

IGNORED = 255
"""The class of pixels that the loss and the metric ignore."""


@dataclass(frozen=True)
class MaskedImage:
    image: Path
    mask: Path
    where: str


def check_samples(
    samples: Sequence[MaskedImage],
    classes: int,
    problems: Problems,
    ignored: int = IGNORED,
    read: Callable[[int], np.ndarray] | None = None,
) -> None:
    """Note every sample with a missing or damaged file, a wrong size or a class out of range.

    `read` returns a sample's class numbers by its index; None: they are the mask's pixels.
    """
    check_images(((sample.image, sample.where) for sample in samples), problems)
    for index, sample in enumerate(samples):
        if not sample.mask.is_file():
            problems.note(sample.where, f"mask {sample.mask} is missing; restore it")
            continue
        try:
            mask = read_mask(sample.mask) if read is None else read(index)
            size = image_size(sample.image)
            # A mask need not be an image file, and class numbers may differ from it in size.
            mask_size = size_if_whole(sample.mask) or mask.shape[:2]
        except Exception as error:  # Decoders raise errors of many kinds.
            # An unreadable image is already noted.
            if sample.image.is_file():
                problems.note(
                    sample.where,
                    f"mask {sample.mask} cannot be read ({one_line(error)}); replace it",
                )
            continue
        if mask.ndim != 2:
            problems.note(
                sample.where,
                f"mask {sample.mask} has {mask.shape[-1]} channels; save one class per pixel",
            )
            continue
        if mask_size != size:
            problems.note(
                sample.where,
                f"mask {sample.mask} is {mask_size[0]}x{mask_size[1]}, its image "
                f"{size[0]}x{size[1]} (height x width); give them one size",
            )
        beyond = np.setdiff1d(np.unique(mask), [*range(classes), ignored])
        if len(beyond):
            problems.note(
                sample.where,
                f"mask {sample.mask} has class {beyond[0]}, out of range; "
                f"0 to {classes - 1} are allowed, and {ignored} for ignored pixels",
            )
