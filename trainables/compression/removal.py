"""Branches taken out of a model: its sublayers become others that compute nothing.

A sublayer is turned into another kind of layer where it stands, not replaced in the sublayer that
holds it: code may keep it in a list of its own, or under several names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import paddle

from trainables.compression.graph.branch import CHANNELS, Branch

# An end behind every tensor's, where the size is not known, as in an export.
MANY = 2**31 - 1
# The name of a model's sublayer with the switches of its branches.
SWITCHES = "branch_switches"
# Attributes of a layer that hold what it computes with.
HELD = ("_parameters", "_buffers", "_sub_layers")


def _stepped(x: Any, steps: Sequence[int]) -> Any:
    """Return every so many places of a tensor along each axis."""
    axes = [axis for axis, step in enumerate(steps) if step > 1]
    if not axes:
        return x
    ends = [x.shape[axis] if x.shape[axis] > 0 else MANY for axis in axes]
    return paddle.strided_slice(x, axes, [0] * len(axes), ends, [steps[axis] for axis in axes])


class Itself(paddle.nn.Layer):
    """Returns its input: a sublayer that scaled it."""

    def forward(self, x: Any, *others: Any, **named: Any) -> Any:
        return x


class Switch(paddle.nn.Layer):
    """Returns a branch's end while its weight `on`, of shape (1,), is 1, and with 0 what stands for
    it in `branches_masked`."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self._is_input, self._value = branch.kind == "input", branch.value
        self.on = self.create_parameter(
            [1], default_initializer=paddle.nn.initializer.Constant(1.0)
        )

    def forward(self, output: Any, before: Any) -> Any:
        if self._is_input:
            return output * self.on + before * (1 - self.on)
        kept = output * self.on
        return kept + self._value * (1 - self.on) if self._value else kept


class PassOn(paddle.nn.Layer):
    """Returns one channel of its input, as small as its output was: what computed a branch's values
    on the way to its end. One channel can be added to any number, and costs least."""

    branch_axis: int
    branch_steps: tuple[int, ...]

    def forward(self, x: Any, *others: Any, **named: Any) -> Any:
        if not isinstance(x, (paddle.Tensor, paddle.static.Variable)) or len(x.shape) < 2:
            return x
        return self.part(x, 1)

    def part(self, x: paddle.Tensor, channels: int) -> paddle.Tensor:
        """Return the first channels of a tensor, at the output's places."""
        return _stepped(paddle.slice(x, [self.branch_axis], [0], [channels]), self.branch_steps)


class OneConstant(paddle.nn.Layer):
    """Returns one value for all places and channels: the end of a branch that is added, or of a
    scale."""

    branch_value: float
    branch_rank: int

    def forward(self, x: Any, *others: Any, **named: Any) -> paddle.Tensor:
        return paddle.full([1] * self.branch_rank, self.branch_value, paddle.get_default_dtype())


class SizedZeros(PassOn):
    """Returns zeros of its output's size, one channel: the end of a branch that is resized before
    it is added."""

    def forward(self, x: paddle.Tensor, *others: Any, **named: Any) -> paddle.Tensor:
        return paddle.zeros_like(self.part(x, 1))


class NoChannels(PassOn):
    """Returns a tensor without channels: the end of a branch that is concatenated."""

    def forward(self, x: paddle.Tensor, *others: Any, **named: Any) -> paddle.Tensor:
        return self.part(x, 0)


def _turn(layer: paddle.nn.Layer, kind: type[paddle.nn.Layer], **values: Any) -> Callable[[], None]:
    """Make a layer one of another kind, without weights; return what undoes it."""
    before, attributes = layer.__class__, dict(layer.__dict__)
    for name in HELD:
        layer.__dict__[name] = type(layer.__dict__[name])()
    layer.__class__ = kind
    layer.__dict__.update(values)

    def undo() -> None:
        layer.__class__ = before
        layer.__dict__.clear()
        layer.__dict__.update(attributes)

    return undo


def _end(branch: Branch, rank: int) -> tuple[type[paddle.nn.Layer], dict[str, Any]]:
    match branch.kind:
        case "input":
            return Itself, {}
        case "sized_zeros":
            return SizedZeros, {"branch_axis": branch.axis, "branch_steps": branch.steps}
        case "nothing":
            return NoChannels, {"branch_axis": branch.axis, "branch_steps": branch.steps}
        case _:
            return OneConstant, {"branch_value": branch.value, "branch_rank": rank}


def outer_branches(branches: Sequence[Branch]) -> list[Branch]:
    """Return the branches that lie in none of the others: with these all are gone."""
    names = {branch.name for branch in branches}
    return [branch for branch in branches if not names & set(branch.inside)]


def remove_branches(model: paddle.nn.Layer, branches: Sequence[Branch]) -> Callable[[], None]:
    """Take branches out of a model, in place; return a function that puts them back.

    Layers that read the channels of a concatenated branch have to be narrowed separately
    (`ChannelPruner.prune`).
    """
    branches = outer_branches(branches)
    layers = dict(model.named_sublayers())
    undo: list[Callable[[], None]] = []
    gone = {name: steps for branch in branches for name, steps in branch.passed.items()}
    for branch in branches:
        kind, values = _end(branch, branch.rank)
        if branch.layer not in gone:
            undo.append(_turn(layers[branch.layer], kind, **values))
    ends = {branch.layer for branch in branches}
    for name in sorted(gone.keys() - ends):
        undo.append(_turn(layers[name], PassOn, branch_axis=CHANNELS, branch_steps=gone[name]))

    def restore() -> None:
        for function in reversed(undo):
            function()

    return restore


@contextmanager
def branches_masked(model: paddle.nn.Layer, branches: Sequence[Branch]) -> Iterator[None]:
    """Inside, the ends of branches return what `remove_branches` makes them stand for, at full
    size: zeros, a constant, or their input. All else is computed as before."""
    layers = dict(model.named_sublayers())
    branches = outer_branches(branches)
    with ExitStack() as stack:
        for branch in branches:

            def after(layer: Any, inputs: Any, output: Any, branch: Branch = branch) -> Any:
                if branch.kind == "input":
                    return inputs[0]
                return paddle.full_like(output, branch.value)

            hook = layers[branch.layer].register_forward_post_hook(after)
            stack.callback(hook.remove)
        yield


@contextmanager
def branches_switched(
    model: paddle.nn.Layer, branches: Sequence[Branch]
) -> Iterator[Mapping[str, str]]:
    """Inside, each branch has a `Switch` at its end; yields their weights' names in the model, by
    branch. An export that is made inside masks any of them by a weight of 0."""
    layers = dict(model.named_sublayers())
    switches = paddle.nn.LayerList([Switch(branch) for branch in branches])
    with ExitStack() as stack:
        model.add_sublayer(SWITCHES, switches)
        stack.callback(model._sub_layers.pop, SWITCHES)
        for branch, switch in zip(branches, switches, strict=True):

            def after(layer: Any, inputs: Any, output: Any, switch: Any = switch) -> Any:
                return switch(output, inputs[0])

            hook = layers[branch.layer].register_forward_post_hook(after)
            stack.callback(hook.remove)
        yield {branch.name: f"{SWITCHES}.{index}.on" for index, branch in enumerate(branches)}
