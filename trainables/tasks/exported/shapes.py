"""Reshapes whose counts follow their input: an export has numbers of channels written into them.

Which axes of the input make which axis of the output is found in the first run, from the two
shapes. From then on sizes are computed from the input's, so a pruned model's fit, and so do other
batches and image sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import nn

from trainables.compression.graph.labels import matching_axes
from trainables.tasks.exported.building import Function, Made, Site, builds, given


@dataclass(frozen=True)
class Size:
    """How one axis of the output gets its size: from axes of the input, or as `number` says."""

    axes: tuple[int, ...] = ()
    divisor: int = 1
    """What the product of the axes is divided by: the other parts of a split axis."""
    number: int = 1
    tensor: int | None = None
    """Position of the tensor that holds the size; None if there is none."""

    def of(self, shape: Sequence[int]) -> int:
        """Return the size, -1 if it is not known from the input's shape."""
        if not self.axes:
            return self.number
        sizes = [shape[axis] for axis in self.axes]
        return -1 if min(sizes) < 0 else math.prod(sizes) // self.divisor


Plan = tuple[Size, ...]


def plan_reshape(
    before: Sequence[int], after: Sequence[int], wanted: Sequence[int], tensors: Sequence[int]
) -> Plan:
    """Return how a reshape from `before` to `after` follows its input.

    `wanted` are the sizes as written, -1 for the one that takes what is left; `tensors` the
    positions of those that are computed. Of an axis that is split, the last part follows.
    """
    found: list[Size] = []
    for old, new in matching_axes(before, after):
        if len(new) == 1 and old:
            found.append(Size(tuple(old)))
            continue
        parts = [axis for axis in new if after[axis] > 1]
        computed = [axis for axis in new if axis in tensors]
        free = [axis for axis in new if wanted[axis] == -1 and axis not in tensors]
        if not free and len(computed) == 1:
            free = computed
        if not free and not computed:
            free = parts[-1:]
        for axis in new:
            if old and axis in free[:1]:
                others = math.prod(after[other] for other in new if other != axis)
                found.append(Size(tuple(old), others))
            elif axis in computed:
                found.append(Size(tensor=tensors.index(axis)))
            else:
                found.append(Size(number=after[axis]))
    return tuple(found)


def sizes_of(x: Any, plan: Plan, tensors: Sequence[Any]) -> list[Any]:
    """Return the sizes of the output, of which at most one is -1."""
    known = [int(size) for size in x.shape]
    sizes: list[Any] = []
    for axis, size in enumerate(plan):
        if size.tensor is not None:
            sizes.append(tensors[size.tensor])
            continue
        value = size.of(known)
        copied = len(size.axes) == 1 and size.divisor == 1
        if value < 0 and -1 in [s for s in sizes if isinstance(s, int)] and copied:
            # 0 copies the size of the same axis.
            sizes.append(0 if size.axes == (axis,) else paddle.shape(x)[size.axes[0]])
        else:
            sizes.append(value)
    return sizes


class Reshape(nn.Layer):
    """A reshape that follows its input's sizes."""

    def __init__(self, wanted: Sequence[int], tensors: Sequence[int], plan: Plan | None) -> None:
        super().__init__()
        self._wanted, self._tensors = tuple(wanted), tuple(tensors)
        self.plan = plan

    def forward(self, x: Any, *tensors: Any) -> Any:
        if self.plan is not None:
            return paddle.reshape(x, sizes_of(x, self.plan, tensors))
        sizes: list[Any] = list(self._wanted)
        for position, tensor in zip(self._tensors, tensors, strict=True):
            sizes[position] = int(tensor)
        found = paddle.reshape(x, sizes)
        self.plan = plan_reshape(x.shape, found.shape, self._wanted, self._tensors)
        return found


class WholeReshape(nn.Layer):
    """A reshape whose sizes are one computed tensor."""

    def __init__(self, plan: Plan | None) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, x: Any, *sizes: Any) -> Any:
        if self.plan is not None:
            return paddle.reshape(x, sizes_of(x, self.plan, ()))
        wanted = [int(size) for size in sizes[0].numpy()]
        found = paddle.reshape(x, wanted)
        self.plan = plan_reshape(x.shape, found.shape, found.shape, ())
        return found


@builds("reshape2", "reshape")
def reshape(site: Site) -> Made:
    op, plan = site.op, site.plans.get(site.op.output())
    x, out = op.inputs["X"][0], op.output()
    if op.input("Shape") is not None and not op.inputs.get("ShapeTensor"):
        whole = WholeReshape(plan)
        return Made(whole, (x,) if plan is not None else (x, op.inputs["Shape"][0]), (out,))
    wanted = list(op.get("shape"))
    several = op.inputs.get("ShapeTensor", ())
    if several:
        # Counts that are constants are written here too; the others are -1.
        tensors = [axis for axis, size in enumerate(wanted) if size == -1] if plan is None else []
        if plan is None and len(several) != len(wanted):
            raise site.refuse("has fewer sizes than axes")
        return Made(Reshape(wanted, tensors, plan), _reads(op, plan, tensors), (out,))
    return Made(Reshape(wanted, (), plan), (x,), (out,))


def _reads(op: Any, plan: Plan | None, tensors: Sequence[int]) -> tuple[str, ...]:
    several = op.inputs["ShapeTensor"]
    axes = tensors if plan is None else [a for a, size in enumerate(op.get("shape")) if size == -1]
    is_needed = plan is None or any(size.tensor is not None for size in plan)
    return (op.inputs["X"][0], *(several[axis] for axis in axes if is_needed))


def flattened_tail(x: Any, kept: int) -> Any:
    """Return a tensor whose axes from `kept` on are one."""
    return paddle.flatten(x, kept, -1) if len(x.shape) > kept + 1 else x


@builds("expand_v2")
def expand(site: Site) -> Made:
    """Only axes of one value are repeated: the others keep their size, whatever it is."""
    op = site.op
    names = given(op, ("Shape", "expand_shapes_tensor"))
    wanted = list(op.get("shape"))

    def expanded(x: Any, *sizes: Any) -> Any:
        if sizes:
            return paddle.expand(x, sizes[0] if len(sizes) == 1 else list(sizes))
        front = len(wanted) - len(x.shape)
        kept = [axis >= front and x.shape[axis - front] != 1 for axis in range(len(wanted))]
        return paddle.expand(x, [-1 if k else w for k, w in zip(kept, wanted, strict=True)])

    return Made(Function(expanded), (op.inputs["X"][0], *names), (op.output(),))
