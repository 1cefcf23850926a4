"""How the file of an image becomes a model's input, written down so that it can be repeated.

A `Preparation` is data: tasks follow it (trainables/data/preparing.py), the manifest of a delivered
model carries it, and examples/deploy.py follows it there. The names are this project's, the
arithmetic the toolkits': with the same decoder, library and rounding the tensors are equal.
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
]
Rounding = Literal["nearest", "half_up", "down", "up"]


@dataclass(frozen=True)
class Resize:
    """The image gets another size."""

    rule: Rule = "exact"
    """`exact`: to `height` x `width`. `shorter_side`, `longer_side`: that side becomes `side`.
    `at_least`: enlarged, if it has to be, until the shorter side is `side`; `at_most`: shrunk until
    the longer side is. `inside`: as large as fits into `height` x `width`; `inside_turned`: into
    that or, for an upright image, `width` x `height`. `height`: to `height`, the width in
    proportion. All but `exact` keep the proportions."""
    side: int | None = None
    height: int | None = None
    width: int | None = None
    most_height: int | None = None
    most_width: int | None = None
    """What would be larger is shrunk in proportion, to fit: an engine has one size. None: any."""
    multiple: int = 1
    """Sides are multiples of this, at least one of it."""
    rounding: Rounding = "nearest"
    """Of sides to multiples; `nearest` takes halves to the even neighbour."""
    whole_first: bool = False
    """Sides lose their fraction before they are rounded to multiples."""
    by_factor: bool = False
    """OpenCV is given the factors and not the size, which places samples a little differently."""
    library: Library = "pillow"
    interpolation: Interpolation = "bilinear"
    step: Literal["resize"] = "resize"


@dataclass(frozen=True)
class CenterCrop:
    """The middle is cut out; it begins at half of what is left over, rounded down."""

    height: int
    width: int
    step: Literal["center_crop"] = "center_crop"


@dataclass(frozen=True)
class CenterSquare:
    """The middle square is cut out, with this share of the shorter side, rounded down."""

    share: float
    step: Literal["center_square"] = "center_square"


@dataclass(frozen=True)
class Pad:
    """The image is filled up to `height` x `width`, or to the next multiples of `multiple`."""

    height: int | None = None
    width: int | None = None
    multiple: int = 1
    at: Literal["end", "center"] = "end"
    """`end`: to the right and below; `center`: on all sides, the first ones rounded down."""
    value: tuple[float, ...] = (0.0,)
    """A number for all channels, or one each, in the input's channel order."""
    step: Literal["pad"] = "pad"


@dataclass(frozen=True)
class Normalize:
    """The values of ModelInput are applied: times `scale`, minus `mean`, divided by `std`."""

    divides: bool = False
    """Pixels are divided by 1/scale, and not multiplied by `scale`: other last bits."""
    double: bool = False
    """`mean` and `std` are applied in double precision."""
    zero_channels: int = 0
    """So many channels of zeros are appended."""
    step: Literal["normalize"] = "normalize"


Step = Resize | CenterCrop | CenterSquare | Pad | Normalize


@dataclass(frozen=True)
class Preparation:
    """What an image goes through from its file to the input, in order."""

    steps: tuple[Step, ...]
    """One of them is Normalize; the tensor is of what the last one leaves, channels first."""
    decoder: Library = "pillow"
    turned: bool = True
    """Whether the image is turned as its EXIF data say. OpenCV does so when it decodes."""
    floats: bool = False
    """Pixels are made floats before the first step, so that resizing does not round them."""
