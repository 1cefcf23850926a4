"""The interface of a builder, which turns one type of operator into a layer of Paddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle
from paddle import nn

from spaces.errors import TaskError
from trainables.tasks.exported.program import ExportedProgram, Operation

Function_ = Callable[..., Any]


class Function(nn.Layer):
    """A layer without weights that computes one function of its inputs."""

    def __init__(self, function: Function_) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Any) -> Any:
        return self._function(*inputs)


class Value(nn.Layer):
    """A weight that no other layer holds, such as a learnable scale: its forward returns it."""

    def forward(self) -> paddle.Tensor:
        return self.weight


@dataclass(frozen=True)
class Made:
    """A layer, and the names of the tensors that it reads and writes."""

    layer: nn.Layer
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Weights:
    """The program's weights as parameters: one each, however many operators read it."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._made: dict[tuple[str, bool], paddle.Tensor] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def array(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def parameter(self, name: str, *, transposed: bool = False) -> paddle.Tensor:
        """Return a weight as a parameter; `transposed` exchanges its two axes."""
        key = (name, transposed)
        if key not in self._made:
            array = self._arrays[name].T if transposed else self._arrays[name]
            self._made[key] = paddle.create_parameter(
                array.shape,
                str(array.dtype),
                default_initializer=nn.initializer.Assign(np.ascontiguousarray(array)),
            )
        return self._made[key]


@dataclass(frozen=True)
class Site:
    """An operator where it stands: its tensors' shapes, the weights, and what is known of it."""

    op: Operation
    program: ExportedProgram
    weights: Weights
    plans: Mapping[str, Any] = field(default_factory=dict)
    """What layers have found out in the first run, by the tensor that they write."""

    def shape(self, name: str) -> tuple[int, ...]:
        return self.program.shapes[name]

    def rank(self, slot: str) -> int:
        """Return the number of axes of an input."""
        name = self.op.input(slot)
        assert name is not None
        return len(self.shape(name))

    def refuse(self, what: str) -> TaskError:
        """Return the error for an operator in a form that has no layer here."""
        return TaskError(
            f"{self.program.file}: operator {self.op.type} (of {self.op.writes[0]}) {what}, which "
            "cannot be rebuilt; end the model before it with task_options.outputs"
        )

    def made(self, layer: nn.Layer, *slots: str, output: str = "Out") -> Made:
        """Return the layer, which reads the first tensor of each slot and writes `output`."""
        reads = tuple(name for name in map(self.op.input, slots) if name is not None)
        return Made(layer, reads, (self.op.output(output),))

    def function(self, function: Function_, *slots: str, output: str = "Out") -> Made:
        return self.made(Function(function), *(slots or ("X",)), output=output)


Builder = Callable[[Site], Made]
BUILDERS: dict[str, Builder] = {}


def builds(*types: str) -> Callable[[Builder], Builder]:
    """Register a builder for these types of operators."""

    def register(function: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(types, function))
        return function

    return register


def given(op: Operation, slots: Sequence[str]) -> tuple[str, ...]:
    """Return the tensors of the first of these slots that has any."""
    return next((op.inputs[slot] for slot in slots if op.inputs.get(slot)), ())
