"""Exported programs: read from their folder, rewritten, and written again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paddle

from trainables.compression.graph.modes import quietly
from trainables.deployment.engine import MODEL_FILE, WEIGHTS_FILE


def path_prefix(folder: Path) -> str:
    """Make the folder; return the path without suffix that paddle's save functions take."""
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / MODEL_FILE.removesuffix(".pdmodel"))


@contextmanager
def own_scope() -> Iterator[paddle.static.Scope]:
    """A scope for the tensors of static programs, freed at the end."""
    scope = paddle.static.Scope()
    try:
        yield scope
    finally:
        # Paddle keeps every scope with its tensors until told otherwise.
        scope._remove_from_pool()


def write_weights(
    folder: Path, program: paddle.static.Program, executor: paddle.static.Executor
) -> None:
    """Write the weights file of a program, from the current scope."""
    persistable = [v for v in program.list_vars() if paddle.static.io.is_persistable(v)]
    if not persistable:
        (folder / WEIGHTS_FILE).write_bytes(b"")
        return
    # Not `serialize_persistables`, whose every return value stays in memory.
    paddle.static.save_vars(executor, str(folder), program, vars=persistable, filename=WEIGHTS_FILE)


@dataclass(frozen=True)
class StoredProgram:
    """An exported program and its weights, loaded into a scope of their own."""

    folder: Path
    program: paddle.static.Program
    executor: paddle.static.Executor
    scope: paddle.static.Scope

    def write(self) -> None:
        """Write the folder again without operators and weights that no output depends on."""
        _remove_unread(self.program)
        (self.folder / MODEL_FILE).write_bytes(self.program.desc.serialize_to_string())
        write_weights(self.folder, self.program, self.executor)


def read_program(folder: Path) -> paddle.static.Program:
    """Return an exported program without its weights. Paddle must be in static mode."""
    return paddle.static.Program.parse_from_string((folder / MODEL_FILE).read_bytes())


@contextmanager
def stored_program(folder: Path) -> Iterator[StoredProgram]:
    """An exported program with its weights; Paddle is in static mode inside."""
    with own_scope() as scope, paddle.static.scope_guard(scope), quietly():
        paddle.enable_static()
        executor = paddle.static.Executor(paddle.CPUPlace())
        program, _, _ = paddle.static.load_inference_model(path_prefix(folder), executor)
        yield StoredProgram(folder, program, executor, scope)


def _names(op: paddle.static.Operator) -> set[str]:
    return {*op.input_arg_names, *op.output_arg_names}


def _remove_unread(program: paddle.static.Program) -> None:
    block, *inner = program.blocks
    # Branches and loops read and write variables of the global block by their names.
    named = {name for other in inner for op in other.ops for name in _names(op)}
    read = set(named)
    for index in reversed(range(len(block.ops))):
        op = block.ops[index]
        is_kept = op.type in ("feed", "fetch") or op.has_attr("sub_block")
        if is_kept or read & set(op.output_arg_names):
            read |= set(op.input_arg_names)
            named |= _names(op)
        else:
            block._remove_op(index, sync=False)
    for name in set(block.vars) - named:
        block._remove_var(name, sync=False)
    block._sync_with_cpp()
