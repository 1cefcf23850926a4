"""A model as the operators it runs, in their order: what channels are followed through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import paddle
from paddle.base.dygraph.base import param_guard

from trainables.compression.graph.modes import tracing
from trainables.compression.graph.sizes import known_sizes
from trainables.task import ModelInput

Shape = tuple[int, ...]

# Samples in a traced batch: more than one, so that its axis is not taken for a broadcast one.
SAMPLES = 2


@dataclass(frozen=True)
class Operator:
    """One operator, the names of its tensors by slot ("Input", "Filter", ...)."""

    type: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Trace:
    """What a model ran, given a batch of `SAMPLES`."""

    operators: tuple[Operator, ...]
    shapes: Mapping[str, Shape]
    """Of every tensor of the outermost block, parameters and buffers too."""
    weights: Mapping[str, str]
    """Structured name of every parameter and buffer that was used, by its tensor's name."""
    outputs: tuple[str, ...]
    nested: frozenset[str]
    """Tensors that are used inside control flow."""


def _operator(op: Any) -> Operator:
    return Operator(
        op.type,
        {slot: tuple(op.input(slot)) for slot in op.input_names},
        {slot: tuple(op.output(slot)) for slot in op.output_names},
        {name: op.attr(name) for name in op.attr_names if not name.startswith("op_")},
    )


@contextmanager
def _as_variables(model: paddle.nn.Layer) -> Iterator[None]:
    """Have the program's variables in place of the parameters, however code gets at them.

    Paddle puts them there when a layer reads an attribute, but not when code iterates over a
    `ParameterList`.
    """
    with ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            stack.enter_context(param_guard(layer._parameters))
            stack.enter_context(param_guard(layer._buffers))
        yield


def trace(model: paddle.nn.Layer, inputs: Sequence[ModelInput]) -> Trace:
    """Return the operators of a model's forward pass in the mode, training or not, it is in.

    Raises whatever the model raises when it is run without data.
    """
    program = paddle.static.Program()
    # Names of its own, or a trace would count up those that are given to layers.
    named = {tensor.name: name for name, tensor in model.named_parameters()}
    named |= {tensor.name: name for name, tensor in model.named_buffers()}
    with paddle.utils.unique_name.guard("traced_"), tracing(program):
        feeds = [paddle.static.data(i.name, [SAMPLES, *i.shape], i.dtype) for i in inputs]
        with known_sizes(program), _as_variables(model):
            outputs = paddle.utils.flatten(model(*feeds))
    block = program.global_block()
    nested = {
        name
        for other in program.blocks[1:]
        for op in other.ops
        for name in (*op.input_arg_names, *op.output_arg_names)
    }
    used = {name for other in program.blocks for op in other.ops for name in op.input_arg_names}
    return Trace(
        tuple(_operator(op) for op in block.ops),
        {
            name: tuple(variable.shape)
            for name, variable in block.vars.items()
            # Scopes and arrays of control flow have none.
            if variable.type == paddle.base.core.VarDesc.VarType.DENSE_TENSOR
        },
        {name: structured for name, structured in named.items() if name in used},
        tuple(o.name for o in outputs if isinstance(o, paddle.static.Variable)),
        frozenset(nested),
    )
