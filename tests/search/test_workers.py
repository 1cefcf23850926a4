"""Where a call runs, and what becomes of an error that it raises; Ray itself is a fake."""

from itertools import chain

import pytest
import ray

from clusters.resources import MARKER_AMOUNT
from search import workers
from search.console import Display
from search.workers import Placement, call_worker, each_result, split_evenly
from spaces.errors import ConfigError, SearchError, StudyError, TaskError


@pytest.fixture
def remote(monkeypatch):
    """Ray runs each call at once, in this process; returns the options it was given."""
    asked = []

    def options(**given):
        asked.append(given)

        def decorated(function):
            class Remote:
                @staticmethod
                def remote(*arguments):
                    return function, arguments

            return Remote

        return decorated

    def get(reference):
        function, arguments = reference
        return function(*arguments)

    monkeypatch.setattr(workers.ray, "remote", options)
    monkeypatch.setattr(workers.ray, "get", get)
    monkeypatch.setattr(workers.ray, "wait", lambda pending, num_returns: (pending[-1:], None))
    return asked


@pytest.mark.parametrize(
    ("placement", "resources", "options"),
    [
        (Placement(), {"CPU": 1}, {"num_cpus": 1, "num_gpus": 0}),
        (Placement(0, 0.5), {"GPU": 0.5}, {"num_cpus": 0, "num_gpus": 0.5}),
        (
            Placement(2, 0, "target", own_process=True),
            {"CPU": 2, "target": MARKER_AMOUNT},
            {"num_cpus": 2, "resources": {"target": MARKER_AMOUNT}, "max_calls": 1},
        ),
    ],
)
def test_ray_places_a_call_by_what_it_asks(remote, placement, resources, options):
    assert placement.resources == resources
    placement.remote(len)
    assert remote[0].items() >= options.items()


def test_results_come_in_order_of_ending_each_with_its_key(remote):
    found = list(each_result(Display(), "parts", pow, {"a": (2, 3), "b": (3, 2)}))
    assert found == [("b", 9), ("a", 8)]


def test_a_calls_arguments_arrive(remote):
    assert call_worker(Display(), "power", pow, 2, 5) == 32


def raised(error):
    return ray.exceptions.RayTaskError("f", "Traceback", error)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (raised(ConfigError("no such weights")), ConfigError, "no such weights"),
        (raised(ValueError("no such axis")), TaskError, "the task raises .*no such axis"),
        (ray.exceptions.WorkerCrashedError(), StudyError, "a worker died"),
    ],
)
def test_an_error_of_a_call_is_raised_here(remote, error, kind, words):
    def fail():
        raise error

    with pytest.raises(SearchError, match=words) as caught:
        call_worker(Display(), "call", fail)
    assert type(caught.value) is kind


def test_groups_are_measured_in_parts_that_hold_each_once():
    names = [f"group {number}" for number in range(20)]
    parts = split_evenly(names, 2)
    assert len(parts) == 6 and sorted(chain(*parts.values())) == sorted(names)
    assert max(map(len, parts.values())) - min(map(len, parts.values())) <= 1
    assert split_evenly(names[:2], 8) == {names[0]: names[:1], names[1]: names[1:2]}
    # A head alone in a cluster may have no core of its own.
    assert split_evenly(names, 0) == {names[0]: names} and split_evenly([], 2) == {}
