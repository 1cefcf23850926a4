"""Labels for an exported model, in the formats of the other tasks, and the metric that is theirs.

classes     "image class" in each line, PaddleClas's; top-1 accuracy
class_map   image, tab, mask in each line, as PaddleSeg's with that separator; mean IoU
map         PaddleOCR's Label.txt, of a detector's map; hmean
line        PaddleOCR's Label.txt, of a recogniser; accuracy of whole lines
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spaces.errors import TaskError
from trainables.data import classification, segmentation, text
from trainables.data.image_input import Normalize, Resize
from trainables.data.images import check_images, image_size, read_mask
from trainables.data.lines import numbered_lines
from trainables.data.preparing import apply, placement, resized
from trainables.data.problems import Problems
from trainables.data.segmentation import IGNORED, MaskedImage
from trainables.metrics import MeanIoU, TopOneAccuracy
from trainables.metrics.text_lines import LineMetric
from trainables.task import Metric, ModelInput
from trainables.tasks.exported.dictionary import Dictionary
from trainables.tasks.exported.outputs import Kind

# Axes of an output, by its kind, with that of the samples: scores, or the classes themselves.
AXES: dict[Kind, tuple[int, ...]] = {
    "classes": (1, 2),
    "class_map": (3, 4),
    "map": (4,),
    "line": (2, 3),
}


class Output(NamedTuple):
    """The model's output that labels are compared with."""

    kind: Kind
    shape: tuple[int, ...]
    """With an axis of samples."""
    classes: int
    dictionary: Dictionary
    """Of the classes of lines."""


class Labels(NamedTuple):
    """Labelled images, what is expected of them, and how a model is judged by it."""

    files: tuple[Path, ...]
    metric: Metric
    targets: Callable[[Sequence[int]], Any]
    """Return the metric's targets for images, by their number in `files`."""
    masks: tuple[Path, ...] = ()
    """Image files that are labels themselves."""


class OfClasses:
    """A metric of scores, for a model that gives the classes themselves."""

    maximize = True

    def __init__(self, metric: TopOneAccuracy | MeanIoU, classes: int) -> None:
        self.name, self.aggregate = metric.name, metric.aggregate
        self._metric, self._classes = metric, classes

    def sample_statistics(self, outputs: Sequence[np.ndarray], targets: Any) -> np.ndarray:
        """Return the metric's statistics; scores pass as they are."""
        found = outputs[0]
        if found.dtype.kind in "iub":
            # An axis of one value stands for that of the scores.
            found = found[:, 0] if found.ndim in (2, 4) else found
            numbers = np.arange(self._classes).reshape(-1, *[1] * (found.ndim - 1))
            found = found[:, None] == numbers
        return self._metric.sample_statistics([found], targets)


def read_labels(file: Path, root: Path, spec: ModelInput, outputs: Sequence[Output]) -> Labels:
    """Return the labels of a file, whose paths are relative to `root`.

    Raises TaskError for outputs that have no labels, and DataError, in one line, for lines that
    cannot be read, classes that the model lacks, and images or masks that are missing or damaged.
    """
    if len(outputs) > 1:
        raise TaskError(
            f"labels {file} are for one output, and the model has {len(outputs)}; name one with "
            "task_options.outputs"
        )
    (output,) = outputs
    if len(output.shape) not in AXES.get(output.kind, ()):
        raise TaskError(
            f"labels {file}: an output of kind {output.kind!r} and {len(output.shape)} axes has no "
            f"labels; {', '.join(READERS)} have. Leave out labels, or say the kind"
        )
    problems = Problems()
    found = READERS[output.kind](file, root, spec, output, problems)
    seen: set[Path] = set()
    for path in found.files:
        if path in seen:
            problems.note(str(file), f"image {path} is listed twice; remove a line")
        seen.add(path)
    problems.raise_if_any()
    return found


def _classes(
    file: Path, root: Path, spec: ModelInput, output: Output, problems: Problems
) -> Labels:
    samples = classification.read_list(file, root, output.classes, problems)
    classification.check_samples(samples, problems)
    numbers = np.array([[sample.label] for sample in samples], "int64")
    return Labels(
        tuple(sample.image for sample in samples),
        OfClasses(TopOneAccuracy(), output.classes),
        lambda indices: numbers[list(indices)],
    )


def _masks(file: Path, root: Path, spec: ModelInput, output: Output, problems: Problems) -> Labels:
    samples = []
    for where, line in numbered_lines(file):
        image, tab, mask = line.partition("\t")
        if tab:
            samples.append(MaskedImage(root / image.strip(), root / mask.strip(), where))
        else:
            problems.note(where, f'{line!r} is not "image<tab>mask"; correct the line')
    segmentation.check_samples(samples, output.classes, problems)

    def targets(indices: Sequence[int]) -> np.ndarray:
        masks = [_as_map(read_mask(samples[i].mask), spec, output.shape[-2:]) for i in indices]
        return np.stack(masks).astype("int64")

    metric = OfClasses(MeanIoU(output.classes, ignored=IGNORED), output.classes)
    images, masks = ([getattr(s, part) for s in samples] for part in ("image", "mask"))
    return Labels(tuple(images), metric, targets, tuple(masks))


def _as_map(mask: np.ndarray, spec: ModelInput, size: Sequence[int]) -> np.ndarray:
    """Return a mask's classes at the places of the output: the steps of its image, nearest."""
    assert spec.image is not None
    classes = mask[..., None]
    for step in spec.image.steps:
        if isinstance(step, Resize):
            classes = resized(classes, replace(step, interpolation="nearest"))
        elif not isinstance(step, Normalize):
            classes = apply(step, classes, spec)
    height, width = size
    exact = Resize(height=height, width=width, library="opencv", interpolation="nearest")
    return resized(classes, exact)[..., 0]


def _regions(
    file: Path, root: Path, spec: ModelInput, output: Output, problems: Problems
) -> Labels:
    from trainables.metrics.text_regions import HarmonicMean

    samples = text.read_labels(file, root, problems)
    text.check_samples(samples, problems)
    assert spec.image is not None
    steps = spec.image.steps
    of_map = np.array([output.shape[3] / spec.shape[2], output.shape[2] / spec.shape[1]])

    def targets(indices: Sequence[int]) -> list[list[text.TextRegion]]:
        found = []
        for sample in (samples[index] for index in indices):
            place = placement(steps, *image_size(sample.image))
            scale = np.array((place.scale_x, place.scale_y))
            offset = np.array((place.offset_x, place.offset_y))
            # From the image to the input, then to the map, which may be smaller.
            found.append([r.moved(-offset / scale, scale * of_map) for r in sample.regions])
        return found

    return Labels(tuple(sample.image for sample in samples), HarmonicMean(), targets)


def _lines(file: Path, root: Path, spec: ModelInput, output: Output, problems: Problems) -> Labels:
    characters = output.dictionary.fitted(output.classes, f"labels {file}:")
    samples = text.read_lines(file, root, problems)
    check_images(((sample.image, sample.where) for sample in samples), problems)
    texts = [characters.label(sample, problems) for sample in samples]
    return Labels(
        tuple(sample.image for sample in samples),
        LineMetric(characters),
        lambda indices: [texts[index] for index in indices],
    )


READERS: dict[Kind, Callable[[Path, Path, ModelInput, Output, Problems], Labels]] = {
    "classes": _classes,
    "class_map": _masks,
    "map": _regions,
    "line": _lines,
}
