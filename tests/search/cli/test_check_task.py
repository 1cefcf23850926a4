"""The demands of the Task contract, printed."""

import contextlib
import io

import pytest
from rich.console import Console

from search.cli import check_task
from search.config import RunConfig
from search.console import Display
from trainables.listings import Demand


@pytest.mark.parametrize(
    "met, status, last",
    [
        ((True, True), 0, "the task meets the contract"),
        ((True, False), 2, "1 of 2 demands are not met"),
    ],
)
def test_each_demand_is_a_line_and_the_status_says_whether_all_are_met(
    met, status, last, monkeypatch
):
    demands = [Demand(name, ok, "as said") for name, ok in zip("ab", met, strict=True)]
    monkeypatch.setattr(check_task, "cluster_of", lambda *given: contextlib.nullcontext())
    monkeypatch.setattr(check_task, "check_nodes", lambda *given: None)
    monkeypatch.setattr(check_task, "call_worker", lambda *given: demands)
    file = io.StringIO()
    display = Display(Console(file=file, width=100))
    assert check_task.report_check(RunConfig(budget=0.1), display) == status
    lines = file.getvalue().splitlines()
    words = ["ok" if ok else "NOT MET" for ok in met]
    assert lines == [f"{w:<8} {n}: as said" for w, n in zip(words, "ab", strict=True)] + [last]
