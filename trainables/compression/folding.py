"""Constants of an exported program, computed once and stored in place of what computes them.

PaddleSlim quantizes a weight only where an operator reads the file's own array. `Conv1D` gives its
weight another axis first, and layers of one's own may compute theirs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle

from trainables.compression.graph.modes import quietly
from trainables.deployment.export import own_scope, path_prefix

# They give another value each time.
RANDOM = ("dropout", "uniform_random", "gaussian_random", "randint", "bernoulli", "randperm")


def _constant(program: paddle.static.Program) -> tuple[list[int], list[str]]:
    """Return the operators that follow from weights alone, and those of their outputs that others
    read."""
    block = program.global_block()
    known = {name for name, variable in block.vars.items() if variable.persistable}
    indices, made = [], set()
    for index, op in enumerate(block.ops):
        read, written = op.input_arg_names, op.output_arg_names
        follows = bool(read) and all(name in known for name in read)
        if follows and op.type not in (*RANDOM, "feed", "fetch") and not op.has_attr("sub_block"):
            indices.append(index)
            made |= set(written)
            known |= set(written)
    others = (op for index, op in enumerate(block.ops) if index not in set(indices))
    needed = {name for op in others for name in op.input_arg_names}
    return indices, sorted(made & needed)


def fold_constants(folder: Path) -> None:
    """Rewrite an exported float model without the operators that follow from weights alone."""
    with own_scope() as scope, paddle.static.scope_guard(scope), quietly():
        paddle.enable_static()
        executor = paddle.static.Executor(paddle.CPUPlace())
        prefix = path_prefix(folder)
        program, feeds, fetches = paddle.static.load_inference_model(prefix, executor)
        indices, names = _constant(program)
        if not names:
            return
        block = program.global_block()
        computing = paddle.static.Program.parse_from_string(program.desc.serialize_to_string())
        for index in reversed(range(len(block.ops))):
            if index not in set(indices):
                computing.global_block()._remove_op(index)
        values = executor.run(computing, fetch_list=names)
        for name, value in zip(names, values, strict=True):
            block.vars[name].persistable = True
            scope.var(name).get_tensor().set(np.ascontiguousarray(value), paddle.CPUPlace())
        for index in reversed(indices):
            block._remove_op(index)
        paddle.static.save_inference_model(
            prefix, [block.vars[name] for name in feeds], fetches, executor, program=program
        )
