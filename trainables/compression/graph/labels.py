"""Labels: which indices in which tensors stand for the same channel, found by binding them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
"""One axis of a tensor: a label for every index along it."""

Axes = tuple[Labels | None, ...]
"""The labels of a tensor's axes; None for an axis without channels (samples, rows, columns)."""


class LabelBook:
    """Creates labels, and records which are bound together and which are excluded."""

    def __init__(self) -> None:
        self._count = 0
        self._pairs: list[tuple[Labels, Labels]] = []
        self._excluded: list[tuple[Labels, str]] = []

    def new(self, count: int) -> Labels:
        labels = np.arange(self._count, self._count + count)
        self._count += count
        return labels

    def bind(self, one: Labels, other: Labels) -> None:
        """Bind the labels at equal indices; the shapes are equal or broadcast."""
        one, other = np.broadcast_arrays(one, other)
        self._pairs.append((one.ravel(), other.ravel()))

    def bind_all(self, labels: Labels) -> None:
        """Bind all labels of each column; shape (rows, columns)."""
        if len(labels) > 1:
            self.bind(labels[:-1], labels[1:])

    def exclude(self, labels: Labels | None, reason: str) -> None:
        """Exclude the channels of these labels, for a reason."""
        if labels is not None:
            self._excluded.append((labels.ravel(), reason))

    def channels(self) -> tuple[Labels, dict[int, str]]:
        """Return every label's channel, numbered from 0, and the reasons of excluded channels.

        A channel excluded more than once has the first reason.
        """
        root = np.arange(self._count)
        if self._pairs:
            one = np.concatenate([pair[0] for pair in self._pairs])
            other = np.concatenate([pair[1] for pair in self._pairs])
            root = _connected(self._count, one, other)
        reasons: dict[int, str] = {}
        for labels, reason in self._excluded:
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


def reshape_labels(
    book: LabelBook, axes: Axes, before: Sequence[int], after: Sequence[int]
) -> Axes:
    """Return the labels of a tensor after a reshape from shape `before` to `after`.

    Merged axes take the labels of the one axis that has labels: after a flatten, every channel
    has height x width indices. An axis that is split keeps its labels along the last part;
    labels at the same index of that part are bound, as the heads of an attention are, or the
    two halves of a channel shuffle.
    """
    result: list[Labels | None] = []
    for old, new in matching_axes(before, after):
        labelled = [axis for axis in old if axes[axis] is not None]
        sizes = [after[axis] for axis in new]
        if len(old) == 1 and len(new) == 1:
            result.append(axes[old[0]])
        elif len(labelled) != 1:
            for axis in labelled:
                book.exclude(axes[axis], "reshaped together with another channel axis")
            result += [None] * len(new)
        else:
            shape = [before[axis] for axis in old]
            where = old.index(labelled[0])
            along = [1] * len(shape)
            along[where] = shape[where]
            labels = axes[labelled[0]]
            assert labels is not None
            whole = np.broadcast_to(labels.reshape(along), shape).reshape(sizes or [-1])
            result += _split_axis(book, whole, len(new))
    return tuple(result)


def _split_axis(book: LabelBook, whole: Labels, count: int) -> list[Labels | None]:
    """Return the labels of `count` axes, given those of every index; only one axis has labels."""
    if count == 0:
        book.exclude(whole, "reshaped away")
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


def matching_axes(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Return which axes of two shapes of equal size cover the same indices, from the left."""
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
