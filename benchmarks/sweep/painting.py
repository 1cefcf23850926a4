"""The content of drawn images: colours, stripes, boxes and words, from which labels follow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Greatest number of labels that are drawn: more would need more images. A guess.
CLASSES = 4
# One colour per label, no two of equal hue.
COLOURS = ((210, 60, 60), (60, 210, 60), (60, 60, 210), (210, 210, 60))
# Greatest value of the random pixels, of 255. A guess.
NOISE = 40
WORDS = ("exit", "open", "stop", "north", "train", "water")

# Left, top, width and height.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Amount:
    """Number and size of drawn images. Half of the held-out ones become the test split."""

    images: int = 8
    held_out: int = 8
    width: int = 96
    height: int = 72

    def of(self, split: int) -> int:
        """Return the number of images of a split: 0 is training, all others are held out."""
        return self.held_out if split else self.images


FEW = Amount()


def random_of(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)


def picture(
    file: Path, amount: Amount, rng: np.random.Generator, patches: Iterable[tuple[Box, int]] = ()
) -> None:
    """Write an image of noise with patches in the colours of their labels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, NOISE, (amount.height, amount.width, 3))
    for (left, top, width, height), label in patches:
        pixels[top : top + height, left : left + width] += COLOURS[label % CLASSES]
    Image.fromarray(pixels.astype("uint8")).save(file)


def stripes(amount: Amount, classes: int, shift: int) -> list[tuple[Box, int]]:
    """Return vertical stripes, one per label and at most CLASSES; the first has label `shift`."""
    drawn = min(classes, CLASSES)
    edges = [round(amount.width * number / drawn) for number in range(drawn + 1)]
    return [
        ((left, 0, right - left, amount.height), (number + shift) % drawn)
        for number, (left, right) in enumerate(pairwise(edges))
    ]


def mask(file: Path, amount: Amount, patches: Iterable[tuple[Box, int]]) -> None:
    """Write the labels of patches as a grey image."""
    file.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros((amount.height, amount.width), "uint8")
    for (left, top, width, height), label in patches:
        labels[top : top + height, left : left + width] = label
    Image.fromarray(labels).save(file)


def random_box(amount: Amount, rng: np.random.Generator) -> Box:
    """Return a box of 1/3 to 2/3 of each side."""
    width, height = (
        int(side * rng.uniform(1 / 3, 2 / 3)) for side in (amount.width, amount.height)
    )
    left, top = rng.integers(amount.width - width + 1), rng.integers(amount.height - height + 1)
    return int(left), int(top), width, height


def corners(box: Box) -> list[list[int]]:
    left, top, width, height = box
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def _font(size: int) -> ImageFont.FreeTypeFont:
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans-Bold.ttf"), size)


def words(
    file: Path, amount: Amount, rng: np.random.Generator, rows: int = 2
) -> Sequence[tuple[str, Box]]:
    """Write an image with a word in each of its rows; return the words and their boxes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, NOISE, (amount.height, amount.width, 3)).astype("uint8")
    image, found, row_height = Image.fromarray(pixels), [], amount.height // rows
    brush = ImageDraw.Draw(image)
    for row in range(rows):
        word = str(rng.choice(WORDS))
        size = int(row_height * rng.uniform(0.4, 0.6))
        left, top, right, bottom = _font(size).getbbox(word)
        while right - left > amount.width - 4:
            size -= 1
            left, top, right, bottom = _font(size).getbbox(word)
        x = int(rng.integers(2, max(3, amount.width - int(right - left) - 1)))
        y = row * row_height + int(rng.integers(1, max(2, row_height - int(bottom - top) - 2)))
        brush.text((x - left, y - top), word, font=_font(size), fill=(230, 230, 230))
        found.append((word, (x, y, int(right - left), int(bottom - top))))
    image.save(file)
    return found
