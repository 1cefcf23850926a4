"""Constant folding: parts of an exported program that depend on weights alone, computed once.

PaddleSlim quantizes a weight only where an operator reads the stored array itself. `Conv1D` first
gives its weight another axis, and a user's own layer may compute its weight.
"""

from __future__ import annotations

from pathlib import Path

import paddle

from trainables.deployment.program import stored_program

# Operators that give another value each time.
RANDOM = ("dropout", "uniform_random", "gaussian_random", "randint", "bernoulli", "randperm")


def _constants(program: paddle.static.Program) -> tuple[list[int], list[str]]:
    """Return the indices of operators that depend on weights alone, and the names of their outputs
    that other operators read."""
    block = program.global_block()
    known = {name for name, variable in block.vars.items() if variable.persistable}
    indices, made = [], set()
    for index, op in enumerate(block.ops):
        read, written = op.input_arg_names, op.output_arg_names
        is_constant = bool(read) and all(name in known for name in read)
        if (
            is_constant
            and op.type not in (*RANDOM, "feed", "fetch")
            and not op.has_attr("sub_block")
        ):
            indices.append(index)
            made |= set(written)
            known |= set(written)
    others = (op for index, op in enumerate(block.ops) if index not in set(indices))
    needed = {name for op in others for name in op.input_arg_names}
    return indices, sorted(made & needed)


def fold_constants(folder: Path) -> None:
    """Rewrite an exported float model without the operators that depend on weights alone."""
    with stored_program(folder) as stored:
        indices, names = _constants(stored.program)
        if not names:
            return
        block = stored.program.global_block()
        folded = paddle.static.Program.parse_from_string(stored.program.desc.serialize_to_string())
        for index in reversed(range(len(block.ops))):
            if index not in set(indices):
                folded.global_block()._remove_op(index)
        values = stored.executor.run(folded, fetch_list=names)
        for name, value in zip(names, values, strict=True):
            stored.store(name, value)
        for index in reversed(indices):
            del stored.message.blocks[0].ops[index]
        stored.write()
