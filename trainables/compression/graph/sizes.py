"""Constant folding of shapes: sizes that a model's code computes with operators in a trace.

`paddle.shape(x)` gives a tensor. In a static program its value is unknown, and so is every shape
computed from it: a reshape by it has -1 for rows and columns. In a trace the inputs have known
sizes, so these values are constants. They are computed here, and the shapes filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.base.framework import Block, Operator, Variable

from trainables.deployment.program import own_scope

Value = NDArray[Any]

# Most values of a tensor of sizes: two concatenated shapes have fewer. A guess.
MAX_VALUES = 64
# How code converts a tensor to a value, as in `int(paddle.shape(x)[2])`.
CONVERSIONS: Mapping[str, Callable[[Value], Any]] = {
    "__bool__": bool,
    "__float__": float,
    "__index__": int,
    "__int__": int,
    "item": lambda value: value.item(),
    "numpy": lambda value: value,
    "tolist": lambda value: value.tolist(),
}


class _Constants:
    """The tensors of a program's outermost block whose values depend on sizes alone."""

    def __init__(self, program: paddle.static.Program, scope: paddle.static.Scope) -> None:
        self._block: Block = program.global_block()
        self._scope = scope
        self._makers: dict[str, Operator] = {}
        self._values: dict[str, Value | None] = {}

    def note(self, op: Operator) -> None:
        """Record an appended operator, and fill in the shapes that Paddle could not infer."""
        for name in op.output_arg_names:
            self._makers[name] = op
            self._values.pop(name, None)
        names = [
            name
            for slot in op.output_names
            if slot != "XShape"  # Used only by a reshape's gradient.
            for name in op.output(slot)
        ]
        unknown = [name for name in names if self._is_dense(name) and not self._is_sized(name)]
        if not unknown or op.has_attr("sub_block"):
            return
        values = [self.value(name) for name in op.input_arg_names]
        # Without a constant among the inputs the shape depends on data, as `nonzero`'s does.
        if not values or any(value is not None for value in values):
            for name, shape in zip(unknown, self._run(op, unknown, shapes=True), strict=False):
                self._block.vars[name].desc.set_shape([int(size) for size in shape])

    def value(self, name: str) -> Value | None:
        """Return the value of a tensor, None if it depends on more than sizes."""
        if name not in self._values:
            self._values[name] = self._computed(name)
        return self._values[name]

    def _is_dense(self, name: str) -> bool:
        """Return whether a variable has a shape: control flow's scopes and arrays have none."""
        variable = self._block.vars.get(name)
        kind = paddle.base.core.VarDesc.VarType.DENSE_TENSOR
        return variable is not None and variable.type == kind

    def _is_sized(self, name: str) -> bool:
        return self._is_dense(name) and all(size >= 0 for size in self._block.vars[name].shape)

    def _computed(self, name: str) -> Value | None:
        op = self._makers.get(name)
        if op is None or not self._is_sized(name):
            return None
        if np.prod(self._block.vars[name].shape, dtype=int) > MAX_VALUES:
            return None
        if op.type in ("shape", "size"):
            # These operators read the shape alone.
            if not self._is_sized(op.input_arg_names[0]):
                return None
        elif any(self.value(read) is None for read in op.input_arg_names):
            return None
        found = self._run(op, [name], shapes=False)
        return found[0] if found else None

    def _run(self, op: Operator, names: Sequence[str], *, shapes: bool) -> Sequence[Value]:
        """Run one operator alone; return its outputs or their shapes, empty if it cannot run.

        Inputs that are not constants are zeros.
        """
        if op.has_attr("sub_block") or not all(map(self._is_sized, op.input_arg_names)):
            return []
        program = paddle.static.Program()
        block = program.global_block()
        feeds = {}
        for name in filter(self._is_dense, {*op.input_arg_names, *op.output_arg_names}):
            variable = self._block.vars[name]
            block.create_var(name=name, shape=variable.shape, dtype=variable.dtype)
        for name in dict.fromkeys(op.input_arg_names):
            variable, value = self._block.vars[name], self.value(name)
            kind = paddle.base.data_feeder.convert_dtype(variable.dtype)
            feeds[name] = np.zeros(variable.shape, kind) if value is None else value
        block.desc.append_op().copy_from(op.desc)
        block._sync_with_cpp()
        fetched = [block.vars[name] for name in names]
        with paddle.static.scope_guard(self._scope), paddle.static.program_guard(program):
            try:
                if shapes:
                    fetched = [paddle.shape(variable) for variable in fetched]
                found: Sequence[Value] = paddle.static.Executor(paddle.CPUPlace()).run(
                    program, feed=feeds, fetch_list=fetched
                )
            except Exception:  # Operators raise errors of many kinds.
                return []
        return found


@contextmanager
def known_sizes(program: paddle.static.Program) -> Iterator[None]:
    """Make computed sizes known to code that appends its operators to the program inside."""
    with own_scope() as scope:
        constants = _Constants(program, scope)
        append = Block.append_op
        originals = {name: Variable.__dict__.get(name) for name in CONVERSIONS}

        def append_and_note(block: Block, *arguments: Any, **named: Any) -> Operator:
            op = append(block, *arguments, **named)
            if block is constants._block:
                constants.note(op)
            return op

        def converting(name: str) -> Callable[..., Any]:
            original = originals[name]

            def convert(variable: Variable, *arguments: Any) -> Any:
                value = constants.value(variable.name)
                if value is not None and not (name == "__bool__" and value.size != 1):
                    return CONVERSIONS[name](value)
                if original is not None:
                    return original(variable, *arguments)
                if name == "__bool__":
                    return True  # Python's default for any object.
                raise TypeError(f"{variable.name} has no value while the model is traced")

            return convert

        Block.append_op = append_and_note
        for name in CONVERSIONS:
            setattr(Variable, name, converting(name))
        try:
            yield
        finally:
            Block.append_op = append
            for name, original in originals.items():
                if original is None:
                    delattr(Variable, name)
                else:
                    setattr(Variable, name, original)
