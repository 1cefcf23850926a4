"""PaddleOCR's RecMetric: lines read without a fault, and how near the others are."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.characters import Characters

KEPT = frozenset(string.digits + string.ascii_letters)


def edit_distance(one: str, other: str) -> int:
    """Return the fewest insertions, deletions and substitutions between two texts (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal, row[j] = row[j], cheapest
    return row[-1]


class LineMetric:
    """Share of whole lines that are read correctly, or the mean similarity of texts.

    A text's similarity is 1 - edit distance / the longer text's length. PaddleOCR divides by the
    number of lines + 1e-5, this by the number of lines.
    """

    maximize = True

    def __init__(
        self,
        characters: Characters,
        indicator: str = "acc",
        ignores_space: bool = True,
        is_filtered: bool = False,
    ) -> None:
        """`indicator` is acc or norm_edit_dis. Filtered texts are compared by their digits and
        letters alone, in lower case."""
        self.characters = characters
        self.name = {"acc": "line_accuracy", "norm_edit_dis": "text_similarity"}[indicator]
        self.ignores_space = ignores_space
        self.is_filtered = is_filtered

    def sample_statistics(
        self, outputs: Sequence[np.ndarray], targets: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return for each line 1.0 if it is right, else 0.0, and its similarity, shape (n, 2).

        `outputs[0]` has shape (n, columns, classes), or is the class of each column.
        """
        scores = outputs[0]
        chosen = scores.dtype.kind in "iub"
        classes = scores.reshape(len(scores), -1) if chosen else np.argmax(scores, axis=2)
        found = map(self.characters.text, classes)
        return np.array(
            [self._compared(*pair) for pair in zip(found, targets, strict=True)], np.float64
        )

    def _compared(self, found: str, wanted: str) -> tuple[float, float]:
        found, wanted = self._reduced(found), self._reduced(wanted)
        longest = max(len(found), len(wanted), 1)
        return float(found == wanted), 1 - edit_distance(found, wanted) / longest

    def _reduced(self, text: str) -> str:
        text = text.replace(" ", "") if self.ignores_space else text
        return "".join(c for c in text if c in KEPT).lower() if self.is_filtered else text

    def aggregate(self, statistics: Any) -> float:
        right, similarity = np.asarray(statistics, float).mean(0)
        return float(right if self.name == "line_accuracy" else similarity)
