"""Text detection: lines drawn with matplotlib's fonts over scikit-image's photos."""

from __future__ import annotations

import importlib.util
import json
import string
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 192
COUNTS = {"train": 300, "val": 80, "test": 80}
# Splits share no photo, so that backgrounds cannot be learned.
PHOTOS = {
    "train": (
        *("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "grass.png", "coins.png"),
        *("hubble_deep_field.jpg", "ihc.png"),
    ),
    "val": ("camera.png", "gravel.png", "rocket.jpg"),
    "test": ("moon.png", "motorcycle_right.png", "retina.jpg"),
}
FONTS = (
    *("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf"),
    *("DejaVuSerif-Bold.ttf", "DejaVuSans-Oblique.ttf", "STIXGeneral.ttf", "STIXGeneralBol.ttf"),
)
# Least mean difference of a text's colour from the photo under it, of 255. A guess.
LEAST_CONTRAST = 90
# Attempts to place the lines of one image. A guess.
TRIES = 40


def folder_of(package: str) -> Path:
    """Return the folder of a package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; make models installs it")
    return Path(found.submodule_search_locations[0])


def words(rng: np.random.Generator) -> str:
    """Return one to three words of random letters, or a number."""
    if rng.random() < 0.2:
        return str(rng.integers(10, 100_000))
    letters = list(string.ascii_lowercase)
    chosen = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(rng.integers(1, 4))]
    line = " ".join(chosen)
    return str(rng.choice([line, line.upper(), line.title()]))


def background(photo: Path, rng: np.random.Generator, pixels: int = SIDE) -> Image.Image:
    """Return a square part of a photo."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    side = int(min(image.size) * rng.uniform(0.5, 1))
    left, top = (int(rng.integers(size - side + 1)) for size in image.size)
    return image.crop((left, top, left + side, top + side)).resize((pixels, pixels))


def draw_line(
    image: Image.Image, taken: Image.Image, font_folder: Path, rng: np.random.Generator
) -> dict[str, object] | None:
    """Draw one line of random words; return what `place_line` returns."""
    font = ImageFont.truetype(str(font_folder / rng.choice(FONTS)), int(rng.integers(12, 30)))
    return place_line(image, taken, words(rng), font, rng)


def colour_on(behind: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return a colour that is seen on one, given as red, green and blue."""
    colour = rng.integers(0, 256, 3)
    if np.abs(colour - behind).mean() < LEAST_CONTRAST:
        colour = np.full(3, 0 if behind.mean() > 127 else 255)
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def drawn(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Return a mask of a text, with an edge of two pixels."""
    left, top, right, bottom = font.getbbox(text)
    layer = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(layer).text((2 - left, 2 - top), text, font=font, fill=255)
    return layer


def place_line(
    image: Image.Image,
    taken: Image.Image,
    text: str,
    font: ImageFont.FreeTypeFont,
    rng: np.random.Generator,
) -> dict[str, object] | None:
    """Draw a text somewhere on a square image and return its entry of Label.txt.

    Returns None if it does not fit, or would cover another one. `taken` marks all lines so far.
    """
    layer = drawn(text, font)
    angle = float(rng.uniform(-15, 15)) if rng.random() < 0.5 else 0.0
    turn = np.deg2rad(-angle)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (layer.width / 2, layer.height / 2)
    corners = corners @ spin.T
    margin = image.width / 2 - np.abs(corners).max(0) - 2
    if (margin < 0).any():
        return None
    corners = corners + image.width / 2 + rng.uniform(-margin, margin)
    polygon = [tuple(corner) for corner in corners.tolist()]
    footprint = Image.new("1", image.size)
    ImageDraw.Draw(footprint).polygon(polygon, fill=1)
    under = np.asarray(footprint)
    if (under & np.asarray(taken)).any():
        return None
    colour = colour_on(np.asarray(image)[under].mean(0), rng)
    turned = layer.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    centre = corners.mean(0)
    position = (round(centre[0] - turned.width / 2), round(centre[1] - turned.height / 2))
    image.paste(colour, position, turned)
    # A margin, so that two lines do not become one.
    ImageDraw.Draw(taken).polygon(
        [tuple(c) for c in (centre + (corners - centre) * 1.15).tolist()], fill=1
    )
    points = [[round(x, 1), round(y, 1)] for x, y in polygon]
    return {"transcription": text, "points": points}


def write(root: Path) -> None:
    """Write images and one label file per split, as PaddleOCR reads them."""
    photos = folder_of("skimage") / "data"
    fonts = folder_of("matplotlib") / "mpl-data" / "fonts" / "ttf"
    for number, (split, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng(number)
        (root / split).mkdir(parents=True, exist_ok=True)
        lines = []
        for index in range(count):
            image = background(photos / PHOTOS[split][index % len(PHOTOS[split])], rng)
            taken = Image.new("1", image.size)
            wanted = int(rng.integers(1, 5))
            regions: list[dict[str, object]] = []
            for _ in range(TRIES):
                region = draw_line(image, taken, fonts, rng) if len(regions) < wanted else None
                regions += [] if region is None else [region]
            name = f"{split}/{index:03d}.jpg"
            image.save(root / name, quality=90)
            lines.append(f"{name}\t{json.dumps(regions)}")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
