"""Remarks about a task and its weights, printed in the first lines of a run.

A task, or `load_weights`, calls `remark` on a worker. The job that loads the task collects the
remarks, and the driver prints them. Outside `collected()`, as in trials, a remark is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_remarks: ContextVar[list[str] | None] = ContextVar("remarks", default=None)


def remark(text: str) -> None:
    """Add a line to the remarks that are being collected, unless it is there already."""
    said = _remarks.get()
    if said is not None and text not in said:
        said.append(text)


@contextmanager
def collected() -> Iterator[list[str]]:
    """A context whose value is the list of remarks made inside, in order."""
    said: list[str] = []
    token = _remarks.set(said)
    try:
        yield said
    finally:
        _remarks.reset(token)
