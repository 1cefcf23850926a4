"""Fidelity: how much a model gives what the original gives. No labels are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainables.data.characters import BLANK
from trainables.tasks.exported.outputs import Kind

# Chance above which a place counts as found.
THRESHOLD = 0.5


class Agreement:
    """Share of samples with the same class: that of the highest score, or the class itself."""

    name = "top1_agreement"
    width = 1

    def statistics(self, output: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Return 1.0 for each sample that agrees, else 0.0, shape (n, 1)."""
        same = _classes(output, 1) == _classes(original, 1)
        return same.reshape(len(same), -1).all(1, keepdims=True).astype(float)

    def aggregate(self, statistics: np.ndarray) -> float:
        return float(statistics.mean())


class LineAgreement(Agreement):
    """Share of lines whose characters are all the same, after CTC's repeats and blanks are gone."""

    name = "line_agreement"

    def statistics(self, output: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Return 1.0 for each line that agrees, else 0.0, shape (n, 1)."""
        pairs = zip(_classes(output, 2), _classes(original, 2), strict=True)
        return np.array([[float(_read(one) == _read(two))] for one, two in pairs])


class ClassMapIoU:
    """Mean over the classes of the IoU of the classes' places with the original's."""

    name = "mean_iou_with_original"

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.width = 2 * classes

    def statistics(self, output: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Return places in intersection, then in union, by class, shape (n, 2 * classes)."""
        found, wanted = (
            array if array.dtype.kind in "iub" else np.argmax(array, 1)
            for array in (output, original)
        )
        counts = np.empty((len(found), 2, self.classes))
        for label in range(self.classes):
            one, two = (array.reshape(len(array), -1) == label for array in (found, wanted))
            counts[:, 0, label] = (one & two).sum(1)
            counts[:, 1, label] = (one | two).sum(1)
        return counts.reshape(len(counts), -1)

    def aggregate(self, statistics: np.ndarray) -> float:
        intersection, union = statistics.reshape(-1, 2, self.classes).sum(0)
        occurs = union > 0
        return float((intersection[occurs] / union[occurs]).mean()) if occurs.any() else 1.0


class MapIoU:
    """IoU of the places above a threshold with the original's, over all samples."""

    name = "iou_with_original"
    width = 2

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold

    def statistics(self, output: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Return the places in intersection and in union, shape (n, 2)."""
        one, two = (a.reshape(len(a), -1) > self.threshold for a in (output, original))
        return np.stack([(one & two).sum(1), (one | two).sum(1)], 1).astype(float)

    def aggregate(self, statistics: np.ndarray) -> float:
        intersection, union = statistics.sum(0)
        return float(intersection / union) if union else 1.0


class Closeness:
    """1 minus the RMS difference from the original's values, relative to their spread."""

    name = "one_minus_relative_error"
    width = 4

    def statistics(self, output: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Return count, sum and squares of the original's values, and squared differences."""
        values = original.reshape(len(original), -1).astype("f8")
        errors = output.reshape(len(output), -1).astype("f8") - values
        sums = (np.ones_like(values), values, values**2, errors**2)
        return np.stack([array.sum(1) for array in sums], 1)

    def aggregate(self, statistics: np.ndarray) -> float:
        count, total, squares, errors = statistics.sum(0)
        spread = squares / count - (total / count) ** 2
        return float(1 - np.sqrt(errors / count / max(spread, 1e-12)))


Part = Agreement | ClassMapIoU | MapIoU | Closeness


class Fidelity:
    """The mean fidelity of a model's outputs; the targets are the original's outputs."""

    maximize = True

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        names = {part.name for part in parts}
        self.name = names.pop() if len(names) == 1 else "mean_fidelity"

    def sample_statistics(self, outputs: Sequence[np.ndarray], targets: Any) -> np.ndarray:
        """Return the statistics of all outputs side by side, shape (n, columns)."""
        found = [
            part.statistics(np.asarray(output), np.asarray(original))
            for part, output, original in zip(self._parts, outputs, targets, strict=True)
        ]
        return np.concatenate(found, 1)

    def aggregate(self, statistics: np.ndarray) -> float:
        columns = np.split(statistics, np.cumsum([part.width for part in self._parts])[:-1], 1)
        values = [part.aggregate(c) for part, c in zip(self._parts, columns, strict=True)]
        return float(np.mean(values))


def part_of(kind: Kind, shape: Sequence[int], threshold: float, classes: int) -> Part:
    """Return how an output of a kind is judged; `shape` is a batch's, `classes` a map's."""
    match kind:
        case "classes":
            return Agreement()
        case "line":
            return LineAgreement()
        case "class_map":
            return ClassMapIoU(shape[1] if len(shape) > 3 else classes)
        case "map":
            return MapIoU(threshold)
        case _:
            return Closeness()


def _classes(array: np.ndarray, axis: int) -> np.ndarray:
    """Return the classes of scores along an axis; classes themselves are left as they are."""
    return array if array.dtype.kind in "iub" or array.ndim <= axis else np.argmax(array, axis)


def _read(line: np.ndarray) -> list[int]:
    """Return a line's characters: without repeats, then without blanks."""
    changed = np.concatenate([[True], line[1:] != line[:-1]])
    return [int(label) for label in line[changed] if label != BLANK]
