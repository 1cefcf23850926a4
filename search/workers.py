"""Calls from the driver to functions that run on the cluster's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from clusters.resources import MARKER_AMOUNT, Resources
from search.console import Display
from search.needs import PARTS
from spaces.errors import SearchError, StudyError, TaskError, one_line


@dataclass(frozen=True)
class Placement:
    """What a call asks of the node that it runs on."""

    cpus: float = 1
    gpus: float = 0
    marker: str | None = None
    """A resource that marks the nodes it may run on; None for any node."""
    own_process: bool = False
    """Whether its process ends with the call, and is not used again."""

    @property
    def resources(self) -> Resources:
        """What a node must have free, by Ray's names."""
        asked = {"CPU": self.cpus, "GPU": self.gpus}
        if self.marker is not None:
            asked[self.marker] = MARKER_AMOUNT
        return {name: value for name, value in asked.items() if value}

    def remote(self, function: Callable[..., Any]) -> Any:
        """Return Ray's remote function that is placed so."""
        marked = {} if self.marker is None else {"resources": {self.marker: MARKER_AMOUNT}}
        once = {"max_calls": 1} if self.own_process else {}
        return ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, **marked, **once)(function)


ANY_NODE = Placement()


def call_worker(
    display: Display,
    what: str,
    function: Callable[..., Any],
    *arguments: Any,
    on: Placement = ANY_NODE,
) -> Any:
    """Return what the function returns on a worker of the cluster.

    `what` names the call while it is waited for.
    """
    reference = on.remote(function).remote(*arguments)
    with display.waiting(what, on.resources):
        return _fetch(reference)


def each_result(
    display: Display,
    unit: str,
    function: Callable[..., Any],
    arguments: Mapping[str, tuple[Any, ...]],
    on: Placement = ANY_NODE,
) -> Iterator[tuple[str, Any]]:
    """Yield the key and the function's result for each entry of `arguments`, in order of ending.

    `unit` names the entries while they are waited for.
    """
    remote = on.remote(function)
    pending = {remote.remote(*given): key for key, given in arguments.items()}
    with display.bar(unit, len(pending), on.resources) as advance:
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1)
            key = pending.pop(done[0])
            yield key, _fetch(done[0])
            advance()


def split_evenly(names: Sequence[str], workers: int) -> dict[str, list[str]]:
    """Return names in PARTS parts for each worker, each part under its first name."""
    count = max(1, min(len(names), PARTS * workers))
    return {names[start]: list(names[start::count]) for start in range(min(count, len(names)))}


def _fetch(reference: ray.ObjectRef) -> Any:
    """Return the result of a call.

    Raises the call's own SearchError, TaskError for all else that it raised: only the user's task
    can be the cause. Raises StudyError if the worker died.
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
