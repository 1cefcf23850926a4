"""Tracing: a model as the list of operators it runs."""

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

# Batch size of a trace: more than one, so that the batch axis is not taken for a broadcast axis.
SAMPLES = 2


@dataclass(frozen=True)
class Operator:
    """One operator, with the names of its tensors by slot ("Input", "Filter", ...)."""

    type: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of a sublayer: the operators `start` to below `stop` are its own."""

    layer: str
    """Structured name."""
    start: int
    stop: int
    inputs: tuple[str, ...]
    """Names of its tensors, those of nested lists from left to right."""
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """The operators and tensors of one forward pass on a batch of `SAMPLES`."""

    operators: tuple[Operator, ...]
    shapes: Mapping[str, Shape]
    """Of every tensor of the outermost block, including parameters and buffers."""
    weights: Mapping[str, str]
    """Structured name of every used parameter and buffer, by tensor name."""
    outputs: tuple[str, ...]
    nested: frozenset[str]
    """Tensors used inside control flow."""
    calls: tuple[Call, ...] = ()
    """Of the sublayers, an inner one before the one that calls it."""
    feeds: tuple[str, ...] = ()
    """The model's inputs."""


def _operator(op: Any) -> Operator:
    return Operator(
        op.type,
        {slot: tuple(op.input(slot)) for slot in op.input_names},
        {slot: tuple(op.output(slot)) for slot in op.output_names},
        {name: op.attr(name) for name in op.attr_names if not name.startswith("op_")},
    )


@contextmanager
def _as_variables(model: paddle.nn.Layer) -> Iterator[None]:
    """Replace the model's parameters by the program's variables.

    Paddle does so only when a layer's attribute is read, not when code iterates over a
    `ParameterList`.
    """
    with ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            stack.enter_context(param_guard(layer._parameters))
            stack.enter_context(param_guard(layer._buffers))
        yield


def _tensors(values: Any) -> tuple[str, ...]:
    flat = paddle.utils.flatten(values)
    return tuple(v.name for v in flat if isinstance(v, paddle.static.Variable))


@contextmanager
def _recorded_calls(model: paddle.nn.Layer, program: paddle.static.Program) -> Iterator[list[Call]]:
    """Record the calls of the model's sublayers in the outermost block."""
    found: list[Call] = []
    begun: list[int] = []
    block = program.global_block()
    hooks = []
    for name, layer in model.named_sublayers():

        def before(layer: paddle.nn.Layer, inputs: Any) -> None:
            begun.append(len(block.ops))

        def after(layer: paddle.nn.Layer, inputs: Any, outputs: Any, name: str = name) -> None:
            start = begun.pop()
            if program.current_block().idx == 0:
                call = Call(name, start, len(block.ops), _tensors(inputs), _tensors(outputs))
                found.append(call)

        hooks.append(layer.register_forward_pre_hook(before))
        hooks.append(layer.register_forward_post_hook(after))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def trace(model: paddle.nn.Layer, inputs: Sequence[ModelInput]) -> Trace:
    """Trace a model's forward pass in its current mode, training or evaluation.

    Raises whatever the model raises when it is run without data.
    """
    program = paddle.static.Program()
    # A separate name guard: otherwise a trace would advance the counters of layers' names.
    named = {tensor.name: name for name, tensor in model.named_parameters()}
    named |= {tensor.name: name for name, tensor in model.named_buffers()}
    with paddle.utils.unique_name.guard("traced_"), tracing(program):
        feeds = [paddle.static.data(i.name, [SAMPLES, *i.shape], i.dtype) for i in inputs]
        with (
            known_sizes(program),
            _as_variables(model),
            _recorded_calls(model, program) as calls,
        ):
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
            # Control flow's scopes and arrays have no shape.
            if variable.type == paddle.base.core.VarDesc.VarType.DENSE_TENSOR
        },
        {name: structured for name, structured in named.items() if name in used},
        tuple(o.name for o in outputs if isinstance(o, paddle.static.Variable)),
        frozenset(nested),
        tuple(calls),
        tuple(feed.name for feed in feeds),
    )
