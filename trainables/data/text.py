"""Images with lines of text, or of one line: PaddleOCR's Label.txt, and the size of a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.data.image_input import Normalize, Pad, Resize, Step
from trainables.data.images import check_images, size_if_whole
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems

UNREADABLE = ("###", "*")
"""PaddleOCR's labels of illegible text, which counts neither as found nor as missed."""
# PaddleOCR's mean and standard deviation of a line's pixels, of 0 to 1, in all channels.
MIDDLE = 0.5
# Pixels by which a corner may lie outside its image, from rounding. A guess.
SLACK = 2.0


@dataclass(frozen=True)
class TextRegion:
    points: tuple[tuple[float, float], ...]
    """Corners as (x, y) in pixels, at least three, in order."""
    text: str

    @property
    def is_ignored(self) -> bool:
        return self.text in UNREADABLE

    def moved(self, origin: Sequence[float] | np.ndarray, scale: np.ndarray) -> TextRegion:
        """Return the region relative to `origin`, then scaled by (x, y)."""
        points = (np.array(self.points) - np.array(origin)) * scale
        return TextRegion(tuple((float(x), float(y)) for x, y in points), self.text)


@dataclass(frozen=True)
class TextImage:
    image: Path
    regions: tuple[TextRegion, ...]
    where: str


def read_labels(file: Path, root: Path, problems: Problems) -> list[TextImage]:
    """Return the samples of a Label.txt: a path, a tab and a JSON list of regions per line."""
    samples = []
    for where, line in numbered_lines(file):
        path, tab, content = line.partition("\t")
        try:
            regions = tuple(
                TextRegion(
                    tuple((float(x), float(y)) for x, y in item["points"]),
                    str(item["transcription"]),
                )
                for item in (json.loads(content) if tab else {})
            )
        except (ValueError, TypeError, KeyError):
            regions = None
        if not tab or regions is None:
            problems.note(
                where,
                'not "path<tab>[{"transcription": ..., "points": [[x, y], ...]}, ...]"; '
                "correct the line",
            )
        else:
            samples.append(TextImage(root / path, regions, where))
    return samples


@dataclass(frozen=True)
class TextLine:
    image: Path
    text: str
    where: str


def read_lines(file: Path, root: Path, problems: Problems) -> list[TextLine]:
    """Return the samples of a recogniser's Label.txt: a path, a tab and the text per line."""
    samples = []
    for where, line in numbered_lines(file):
        path, _, text = line.partition("\t")
        if text:
            samples.append(TextLine(root / path, text, where))
        else:
            problems.note(where, f'{line!r} is not "path<tab>text"; correct the line')
    return samples


def check_samples(samples: Sequence[TextImage], problems: Problems) -> None:
    """Note every missing or damaged image, and every region that is not inside its image."""
    check_images(((sample.image, sample.where) for sample in samples), problems)
    for sample in samples:
        size = size_if_whole(sample.image)
        if size is None:
            continue
        height, width = size
        for number, region in enumerate(sample.regions, 1):
            if len(region.points) < 3:
                problems.note(sample.where, f"region {number} has fewer than three corners")
            elif any(
                not (-SLACK <= x <= width + SLACK and -SLACK <= y <= height + SLACK)
                for x, y in region.points
            ):
                problems.note(
                    sample.where,
                    f"region {number} ({region.text!r}) is partly outside its image, "
                    f"{width} wide and {height} high",
                )


def line_steps(height: int, width: int) -> tuple[Step, ...]:
    """Return PaddleOCR's RecResizeImg, which resizes a line to a height and keeps its aspect ratio.

    What is left of the width is zeros after normalization; a longer line is squeezed into it.
    """
    line = Resize("line", height=height, width=width, library="opencv")
    return line, Normalize(divides=True), Pad(height, width)
