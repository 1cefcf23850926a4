"""Latin and Chinese text over photos, for PP-OCR's three models: whole photos, lines, turned lines.

Fonts are matplotlib's, and one with Chinese characters that Debian has (fonts-wqy-microhei,
fonts-noto-cjk). Photos are scikit-image's. An image is the same for the same seed and fonts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from benchmarks.models.data.text import (
    FONTS,
    PHOTOS,
    TRIES,
    background,
    colour_on,
    drawn,
    folder_of,
    place_line,
    words,
)
from spaces.errors import DataError

# Side of a photo with text, as PP-OCR's detector is searched at.
PHOTO = 480
# Height and greatest width of a line, PaddleOCR's: of the recogniser and the direction classifier.
LINE, TURNED = (48, 320), (48, 192)
# Heights of letters on a photo, and in a line 48 pixels high. Guesses.
LETTERS, LINE_LETTERS = (16, 44), (26, 38)
# Most lines on a photo. A guess.
LINES = 9
# Grey that is nearly 0 once it is normalized: what PaddleOCR fills a line with on its right.
PADDING = 128
# GB2312's first level, the 3,755 characters that are used most, without the eight that PP-OCR's
# dictionary (ppocr_keys_v1.txt) lacks.
ROWS, COLUMNS, LAST = range(0xB0, 0xD8), range(0xA1, 0xFF), 0xD7F9
UNKNOWN = "毖恫刽豢耪誊檄诌"
# Two characters that a font without Chinese draws alike, as one that is missing.
TOLD_APART = "中国"
PACKAGES = "fonts-wqy-microhei or fonts-noto-cjk"
LABELS = "labels.txt"


def chinese_characters() -> list[str]:
    """Return the Chinese characters that lines are drawn of."""
    codes = (row << 8 | column for row in ROWS for column in COLUMNS)
    found = [code.to_bytes(2, "big").decode("gb2312") for code in codes if code <= LAST]
    return [character for character in found if character not in UNKNOWN]


def chinese_font(given: Path | None) -> Path:
    """Return the file of a font with Chinese characters: the one given, or one that fc-list has.

    Raises DataError, in one line, if there is none, or if the one given cannot draw them.
    """
    if given is not None:
        if not _draws_chinese(given):
            raise DataError(f"font {given} cannot draw {TOLD_APART}; name one of {PACKAGES}")
        return given.absolute()
    lister = shutil.which("fc-list")
    command = [lister or "", "--format=%{file}\n", ":lang=zh"]
    listed = subprocess.check_output(command, text=True).splitlines() if lister else []
    for file in sorted({Path(line) for line in listed if line}):
        if _draws_chinese(file):
            return file
    raise DataError(f"no font has Chinese characters; install {PACKAGES}, or name one with --font")


def _draws_chinese(file: Path) -> bool:
    try:
        font = ImageFont.truetype(str(file), LINE[0])
    except OSError:
        return False
    one, other = (bytes(font.getmask(character)) for character in TOLD_APART)
    return one != other


@dataclass(frozen=True)
class Pen:
    """Draws random texts in random fonts."""

    rng: np.random.Generator
    chinese: Path
    latin: Path
    """Folder of matplotlib's fonts."""
    characters: tuple[str, ...]

    def text(self, low: int, high: int) -> tuple[str, ImageFont.FreeTypeFont]:
        """Return a Latin or a Chinese text, alike often, and a font of `low` to `high` pixels."""
        if self.rng.random() < 0.5:
            text = "".join(self.rng.choice(self.characters, self.rng.integers(2, 10)))
            file = self.chinese
        else:
            text, file = words(self.rng), self.latin / str(self.rng.choice(FONTS))
        return text, ImageFont.truetype(str(file), int(self.rng.integers(low, high)))


def _pen(seed: int, chinese: Path) -> Pen:
    latin = folder_of("matplotlib") / "mpl-data" / "fonts" / "ttf"
    return Pen(np.random.default_rng(seed), chinese, latin, tuple(chinese_characters()))


def photo_with_lines(photo: Path, pen: Pen) -> tuple[Image.Image, list[dict[str, object]]]:
    """Return a part of a photo with text on it, and the text's entries of Label.txt."""
    image = background(photo, pen.rng, PHOTO)
    taken = Image.new("1", image.size)
    wanted = int(pen.rng.integers(1, LINES + 1))
    regions: list[dict[str, object]] = []
    for _ in range(TRIES):
        if len(regions) < wanted:
            text, font = pen.text(*LETTERS)
            region = place_line(image, taken, text, font, pen.rng)
            regions += [] if region is None else [region]
    return image, regions


def line_on(photo: Path, pen: Pen, size: tuple[int, int]) -> tuple[Image.Image, str]:
    """Return a line of text on a part of a photo, as wide as the text, and the text.

    `size` is its height and its greatest width; longer texts lose their end.
    """
    height, width = size
    text, font = pen.text(*LINE_LETTERS)
    layer = drawn(text, font)
    while layer.width > width:
        text = text[:-1].rstrip()
        layer = drawn(text, font)
    square = background(photo, pen.rng, width)
    top = int(pen.rng.integers(width - height + 1))
    line = square.crop((0, top, layer.width, top + height))
    colour = colour_on(np.asarray(line).reshape(-1, 3).mean(0), pen.rng)
    line.paste(colour, (0, int(pen.rng.integers(max(1, height - layer.height + 1)))), layer)
    return line, text


def padded(line: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a line with grey on its right, `size` large."""
    image = Image.new("RGB", size[::-1], (PADDING,) * 3)
    image.paste(line)
    return image


def _photos(photo: Path, pen: Pen) -> tuple[Image.Image, str]:
    image, regions = photo_with_lines(photo, pen)
    return image, json.dumps(regions, ensure_ascii=False)


def _lines(photo: Path, pen: Pen) -> tuple[Image.Image, str]:
    line, text = line_on(photo, pen, LINE)
    return padded(line, LINE), text


def _turned(photo: Path, pen: Pen) -> tuple[Image.Image, str]:
    line, _ = line_on(photo, pen, TURNED)
    turned = bool(pen.rng.random() < 0.5)
    line = line.transpose(Image.Transpose.ROTATE_180) if turned else line
    return padded(line, TURNED), str(int(turned))


@dataclass(frozen=True)
class Drawing:
    """A kind of images, and the separator of image and label in its labels."""

    draw: Callable[[Path, Pen], tuple[Image.Image, str]]
    count: int
    separator: str = "\t"


# A fifth of the images is for validation. Of 1,600 turned lines the margin at a loss of 0.015 is
# 0.005: 1.64 * sqrt(0.015 * 0.985 / 1600). For the recogniser, some 20 ms a line, that is half a
# minute of each evaluation, so it has 600: a margin of 0.008. The photos' number is a guess.
DRAWINGS: Mapping[str, Drawing] = {
    "photos": Drawing(_photos, 400),
    "lines": Drawing(_lines, 3_000),
    "turned": Drawing(_turned, 8_000, " "),
}


def write(kind: str, root: Path, chinese: Path, count: int | None = None, seed: int = 0) -> None:
    """Write images of a kind into `root`, and their labels, an image in each line."""
    folder = folder_of("skimage") / "data"
    photos = [folder / name for names in PHOTOS.values() for name in names]
    drawing, pen = DRAWINGS[kind], _pen(seed, chinese)
    root.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(drawing.count if count is None else count):
        image, label = drawing.draw(photos[index % len(photos)], pen)
        name = f"{index:05d}.jpg"
        image.save(root / name, quality=90)
        lines.append(f"{name}{drawing.separator}{label}")
    (root / LABELS).write_text("\n".join(lines) + "\n", encoding="utf-8")
