"""What a task or its weights say about themselves: printed in the first lines of a run.

A task, or `load_weights`, calls `remark` on a worker; the stage that loads the task collects what
was said, and the driver prints it. Elsewhere (in trials, in tests) nothing is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_remarks: ContextVar[list[str] | None] = ContextVar("remarks", default=None)


def remark(text: str) -> None:
    """Say one line, once, in the first lines of the run."""
    said = _remarks.get()
    if said is not None and text not in said:
        said.append(text)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Have the list of what is remarked inside, in order."""
    said: list[str] = []
    token = _remarks.set(said)
    try:
        yield said
    finally:
        _remarks.reset(token)
