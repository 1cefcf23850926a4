"""Rules of the operators that only move places: joining, cutting, reshaping, repeating."""

from __future__ import annotations

import numpy as np

from trainables.compression.graph.labels import Labels, reshaped
from trainables.compression.graph.rules import Outputs, Seen, alike, kept_by, rule


@rule("concat")
def concat(seen: Seen) -> Outputs:
    parts = seen.all_into("X")
    names = seen.operator.inputs["X"]
    at = seen.number("axis", 0) % len(parts[0])
    result: list[Labels | None] = []
    for axis in range(len(parts[0])):
        labels = [part[axis] for part in parts]
        if axis != at:
            result += alike(seen, [(one,) for one in labels])
        elif all(one is None for one in labels):
            result.append(None)
        else:
            pieces = []
            for one, name in zip(labels, names, strict=True):
                if one is None:
                    one = seen.book.new(seen.shapes[name][axis])
                    seen.book.keep(one, "not a layer's output")
                pieces.append(one)
            result.append(np.concatenate(pieces))
    return {"Out": tuple(result)}


@rule("split")
def split(seen: Seen) -> Outputs:
    """Equal parts stay equal: what stands at one place in them goes together."""
    axes = seen.into("X")
    names = seen.operator.outputs["Out"]
    at = seen.number("axis", 0) % len(axes)
    labels = axes[at]
    if labels is None:
        return {"Out": [axes] * len(names)}
    sizes = [seen.shapes[name][at] for name in names]
    if len(set(sizes)) > 1:
        seen.book.keep(labels, "split into unequal parts")
    else:
        seen.book.bind_all(labels.reshape(len(names), -1))
    pieces = np.split(labels, np.cumsum(sizes)[:-1])
    return {"Out": [(*axes[:at], piece, *axes[at + 1 :]) for piece in pieces]}


@rule("slice", "strided_slice")
def cut_out(seen: Seen) -> Outputs:
    source = "Input" if seen.has("Input") else "X"
    axes = list(seen.into(source))
    before = seen.shape_into(source)
    gone = [axis % len(axes) for axis in seen.numbers("decrease_axis")]
    cut = {axis % len(axes) for axis in seen.numbers("axes")}
    after = iter(seen.shape_out())
    result: list[Labels | None] = []
    for axis, labels in enumerate(axes):
        size = 1 if axis in gone else next(after, 1)
        if axis in cut and (axis in gone or size != before[axis]):
            seen.book.keep(labels, "cut at fixed places")
            labels = None
        if axis not in gone:
            result.append(labels)
    return {"Out": tuple(result)}


@rule("reshape2", "flatten_contiguous_range", "squeeze2", "unsqueeze2", "flatten2", "reshape")
def reshape(seen: Seen) -> Outputs:
    after = seen.shape_out()
    return {"Out": reshaped(seen.book, seen.into("X"), seen.shape_into("X"), after)}


@rule("transpose2", "transpose")
def transpose(seen: Seen) -> Outputs:
    axes = seen.into("X")
    return {"Out": tuple(axes[axis] for axis in seen.numbers("axis"))}


@rule("stack")
def stack(seen: Seen) -> Outputs:
    parts = seen.all_into("X")
    at = seen.number("axis", 0) % (len(parts[0]) + 1)
    result = alike(seen, parts)
    result.insert(at, None)
    return {"Y": tuple(result)}


@rule("expand_v2", "tile", "expand_as_v2")
def spread(seen: Seen) -> Outputs:
    axes, before, after = seen.into("X"), seen.shape_into("X"), seen.shape_out()
    axes = (*(None,) * (len(after) - len(axes)), *axes)
    before = (*(1,) * (len(after) - len(before)), *before)
    result: list[Labels | None] = []
    for labels, old, new in zip(axes, before, after, strict=True):
        if old != new:
            seen.book.keep(labels, "repeated along its axis")
            labels = None
        result.append(labels)
    return {"Out": tuple(result)}


@rule("pixel_shuffle")
def pixel_shuffle(seen: Seen) -> Outputs:
    """What becomes one channel of more rows and columns goes together."""
    samples, channels, *rest = seen.into("X")
    if channels is None or seen.attribute("data_format", "NCHW") != "NCHW":
        return kept_by(seen, "shuffled into rows and columns")
    together = channels.reshape(-1, seen.number("upscale_factor", 1) ** 2)
    seen.book.bind_all(together.T)
    return {"Out": (samples, together[:, 0].copy(), *rest)}
