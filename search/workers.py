"""Calls from the driver to functions that run on the cluster's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray

from search.console import Display
from spaces.errors import SearchError, StudyError, TaskError, one_line

Options = Mapping[str, Any]
"""Ray's options of a remote function."""


def task_resources(options: Options) -> dict[str, float]:
    """Return what a task with these options asks of a node, by Ray's names of resources."""
    found = {"CPU": options.get("num_cpus", 1), "GPU": options.get("num_gpus", 0)}
    found |= options.get("resources", {})
    return {name: value for name, value in found.items() if value}


def call_worker(
    display: Display, what: str, function: Callable[..., Any], *arguments: Any, **options: Any
) -> Any:
    """Return what the function returns on a worker of the cluster, placed by Ray's options.

    `what` names it while it is waited for.
    """
    placed = {"num_cpus": 1, **options}
    reference = ray.remote(**placed)(function).remote(*arguments)
    with display.waiting(what, task_resources(placed)):
        return _fetch(reference)


def each_result(
    display: Display,
    unit: str,
    function: Callable[..., Any],
    arguments: Mapping[str, tuple[Any, ...]],
    options: Options,
) -> Iterator[tuple[str, Any]]:
    """Yield what the function returns for each entry of `arguments`, by its key, as it comes.

    `unit` names the entries while they are waited for.
    """
    remote = ray.remote(**options)(function)
    pending = {remote.remote(*given): key for key, given in arguments.items()}
    with display.bar(unit, len(pending), task_resources(options)) as advance:
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1)
            key = pending.pop(done[0])
            yield key, _fetch(done[0])
            advance()


def _fetch(reference: ray.ObjectRef) -> Any:
    """Return a task's result. What it raised on purpose is raised here, as itself.

    Whatever else it raised came out of the user's task: TaskError.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SearchError):
            raise error.cause from None
        raise TaskError(
            f"the task raises {one_line(error.cause)}; try it with --check-task, which says more"
        ) from error
    except ray.exceptions.RayError as error:
        raise StudyError(f"a worker died: {one_line(error)}") from error
