"""How an image file becomes a model's input, described as data.

Tasks compute a `Preparation` (trainables/data/preparing.py). The manifest of a delivered model
contains it, and its deploy.py computes it there. The names are this project's, the arithmetic is
the toolkits': with the same decoder, library and rounding the tensors are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Library = Literal["opencv", "pillow"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos", "box", "hamming"]
Rule = Literal[
    "exact",
    "shorter_side",
    "longer_side",
    "at_least",
    "at_most",
    "inside",
    "inside_turned",
    "height",
    "line",
]
Rounding = Literal["nearest", "half_up", "down", "up"]

# Means and standard deviations of ImageNet's pixels (red, green, blue; 0 to 1), with which nearly
# all published weights were trained, and which the toolkits take by default.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Resize:
    """Resize the image."""

    rule: Rule = "exact"
    """`exact`: to `height` x `width`. `shorter_side`, `longer_side`: that side becomes `side`.
    `at_least`: enlarged if its shorter side is below `side`; `at_most`: shrunk if its longer side
    is above it. `inside`: as large as fits into `height` x `width`; `inside_turned`: the same, with
    both exchanged for an upright image. `height`: to `height`. All but `exact` keep the aspect
    ratio; `line`, to `height`, does up to `width`, and a longer line becomes `width` wide."""
    side: int | None = None
    height: int | None = None
    width: int | None = None
    most_height: int | None = None
    most_width: int | None = None
    """Larger results are shrunk to fit, with their aspect ratio, as an engine has one input size.
    None: no limit."""
    multiple: int = 1
    """Sides are rounded to multiples of this, and are at least this."""
    rounding: Rounding = "nearest"
    """How sides are rounded to multiples; `nearest` rounds halves to even."""
    whole_first: bool = False
    """Sides are truncated to whole pixels before they are rounded to multiples."""
    by_factor: bool = False
    """OpenCV gets scale factors instead of a size, which shifts its sampling grid slightly."""
    library: Library = "pillow"
    interpolation: Interpolation = "bilinear"
    step: Literal["resize"] = "resize"


@dataclass(frozen=True)
class CenterCrop:
    """Crop the centre; the offset is half of the remaining pixels, rounded down."""

    height: int
    width: int
    step: Literal["center_crop"] = "center_crop"


@dataclass(frozen=True)
class CenterSquare:
    """Crop the centre square, whose side is `share` of the shorter side, rounded down."""

    share: float
    step: Literal["center_square"] = "center_square"


@dataclass(frozen=True)
class Pad:
    """Pad the image to `height` x `width`, or to the next multiples of `multiple`."""

    height: int | None = None
    width: int | None = None
    multiple: int = 1
    at: Literal["end", "center"] = "end"
    """`end`: at the right and bottom; `center`: on all sides, left and top rounded down."""
    value: tuple[float, ...] = (0.0,)
    """One value for all channels, or one per channel in the input's channel order."""
    step: Literal["pad"] = "pad"


@dataclass(frozen=True)
class Normalize:
    """Apply ModelInput's values: multiply by `scale`, subtract `mean`, divide by `std`."""

    divides: bool = False
    """Divide by 1/scale instead of multiplying by `scale`: the last bits differ."""
    double: bool = False
    """Apply `mean` and `std` in double precision."""
    zero_channels: int = 0
    """Number of channels of zeros to append."""
    step: Literal["normalize"] = "normalize"


Step = Resize | CenterCrop | CenterSquare | Pad | Normalize


@dataclass(frozen=True)
class Preparation:
    """The steps from an image file to a model's input, in order."""

    steps: tuple[Step, ...]
    """One of them is Normalize; after the last one, channels become the first axis."""
    decoder: Library = "pillow"
    turned: bool = True
    """Whether EXIF orientation is applied. OpenCV applies it when it decodes."""
    floats: bool = False
    """Convert pixels to floats before the first step, so that resizing does not round them."""
