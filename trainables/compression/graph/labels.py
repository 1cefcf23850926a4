"""Which places in which tensors stand for one channel, found by binding labels together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
"""One axis of a tensor: a label for every place along it."""

Axes = tuple[Labels | None, ...]
"""A tensor: None for an axis along which nothing can be removed (samples, rows, columns)."""


class LabelBook:
    """Gives out labels, and notes which of them must go together and which must stay."""

    def __init__(self) -> None:
        self._count = 0
        self._pairs: list[tuple[Labels, Labels]] = []
        self._kept: list[tuple[Labels, str]] = []

    def new(self, count: int) -> Labels:
        labels = np.arange(self._count, self._count + count)
        self._count += count
        return labels

    def bind(self, one: Labels, other: Labels) -> None:
        """Note that places of equal index go together; the shapes are equal or broadcast."""
        one, other = np.broadcast_arrays(one, other)
        self._pairs.append((one.ravel(), other.ravel()))

    def bind_all(self, labels: Labels) -> None:
        """Note that in each column of labels, shape (rows, columns), all go together."""
        if len(labels) > 1:
            self.bind(labels[:-1], labels[1:])

    def keep(self, labels: Labels | None, reason: str) -> None:
        """Note that these stay, and why."""
        if labels is not None:
            self._kept.append((labels.ravel(), reason))

    def channels(self) -> tuple[Labels, dict[int, str]]:
        """Return the channel of every label, numbered from 0, and why some channels must stay."""
        root = np.arange(self._count)
        if self._pairs:
            one = np.concatenate([pair[0] for pair in self._pairs])
            other = np.concatenate([pair[1] for pair in self._pairs])
            root = _connected(self._count, one, other)
        reasons: dict[int, str] = {}
        for labels, reason in self._kept:
            for channel in np.unique(root[labels]):
                reasons.setdefault(int(channel), reason)
        return root, reasons


def _connected(count: int, one: Labels, other: Labels) -> Labels:
    """Return the number of the connected component of each of `count` nodes."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(count, count))
    found: Labels = connected_components(edges, directed=False)[1]
    return found.astype(np.int64)


def reshaped(book: LabelBook, axes: Axes, before: Sequence[int], after: Sequence[int]) -> Axes:
    """Return the labels of a tensor after a reshape, from `before` to `after`.

    Merged axes carry the labels of the one that has some: behind a flatten every channel
    stands at height x width places. A labelled axis that is cut up keeps its labels along the
    last part; what stands at one place of that goes together, as the heads of an
    attention or the two halves of a channel shuffle do.
    """
    result: list[Labels | None] = []
    for old, new in _matched(before, after):
        labelled = [axis for axis in old if axes[axis] is not None]
        sizes = [after[axis] for axis in new]
        if len(old) == 1 and len(new) == 1:
            result.append(axes[old[0]])
        elif len(labelled) != 1:
            for axis in labelled:
                book.keep(axes[axis], "reshaped together with another channel axis")
            result += [None] * len(new)
        else:
            shape = [before[axis] for axis in old]
            where = old.index(labelled[0])
            along = [1] * len(shape)
            along[where] = shape[where]
            labels = axes[labelled[0]]
            assert labels is not None
            whole = np.broadcast_to(labels.reshape(along), shape).reshape(sizes or [-1])
            result += _cut(book, whole, len(new))
    return tuple(result)


def _cut(book: LabelBook, whole: Labels, count: int) -> list[Labels | None]:
    """Return labels for each axis of `whole`, all but one of which get None."""
    if count == 0:
        book.keep(whole, "reshaped away")
        return []
    varying = [
        axis
        for axis in range(count)
        if whole.shape[axis] > 1 and (np.diff(whole, axis=axis) != 0).any()
    ]
    axis = varying[-1] if varying else int(np.argmax(whole.shape))
    columns = np.moveaxis(whole, axis, -1).reshape(-1, whole.shape[axis])
    if len(varying) > 1:
        book.bind_all(columns)
    labels: list[Labels | None] = [None] * count
    labels[axis] = columns[0].copy()
    return labels


def _matched(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return which axes of two shapes of equal size hold the same places, from the left."""
    found = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        left = right = 1
        if i < len(before):
            old, left, i = [i], before[i], i + 1
        if j < len(after):
            new, right, j = [j], after[j], j + 1
        while left != right:
            if (left < right and i < len(before)) or j == len(after):
                left, i = left * before[i], i + 1
                old.append(i - 1)
            else:
                right, j = right * after[j], j + 1
                new.append(j - 1)
        found.append((old, new))
    return found
