"""Images with one class each: PaddleClas's list files, and folders as of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import DataError
from trainables.data.images import check_images
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems
from trainables.data.splitting import halves, remark_split

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class LabelledImage:
    image: Path
    label: int
    where: str
    """The file and line, or the folder, that names the label."""


def read_list(
    file: Path, root: Path, classes: int, problems: Problems, delimiter: str = " "
) -> list[LabelledImage]:
    """Return the samples of a PaddleClas list: "path label" per line, paths relative to `root`."""
    samples = []
    for where, line in numbered_lines(file):
        # A path may contain the delimiter, a label cannot.
        path, _, label = line.rpartition(delimiter)
        if not path or not label.isdigit():
            problems.note(where, f'{line!r} is not "path{delimiter}label"; correct the line')
        elif int(label) >= classes:
            problems.note(
                where, f"class {label} is out of range; the model has classes 0 to {classes - 1}"
            )
        else:
            samples.append(LabelledImage(root / path.strip(), int(label), where))
    return samples


def class_names(folder: Path) -> list[str]:
    """Return the sorted names of a split's folders, one per class. DataError if there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that has a folder per class")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not names:
        raise DataError(f"{folder} has no folders; put the images of each class into one")
    return names


def read_folders(folder: Path, names: Sequence[str], problems: Problems) -> list[LabelledImage]:
    """Return the samples of one split, "class/image.jpg"; a label is an index into `names`."""
    samples = []
    for name in class_names(folder):
        where = str(folder / name)
        if name not in names:
            problems.note(where, f"class {name!r} is not in the training split; rename it")
            continue
        images = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not images:
            problems.note(where, "has no images; add some or remove the folder")
        label = list(names).index(name)
        samples += [LabelledImage(image, label, where) for image in images]
    return samples


def halves_by_class(
    samples: Sequence[LabelledImage], part: str
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Split samples into validation and test, half of each class, and say so in a remark."""
    indices = halves([sample.label for sample in samples])
    validation, test = ([samples[index] for index in half] for half in indices)
    remark_split(part, validation, test, "class by class")
    return validation, test


def check_samples(samples: Sequence[LabelledImage], problems: Problems) -> None:
    """Note every sample whose image is missing or damaged."""
    check_images(((sample.image, sample.where) for sample in samples), problems)
