"""Calls from the driver to functions that run on the cluster's workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from spaces.errors import SearchError, StudyError, TaskError, one_line


def call_worker(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the function returns on a worker of the cluster, placed by Ray's options."""
    return fetch(ray.remote(**{"num_cpus": 1, **options})(function).remote(*arguments))


def fetch(reference: ray.ObjectRef) -> Any:
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
