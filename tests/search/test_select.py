"""Bounds choose among finished trials; test_afterwards.py retrains and delivers the choice."""

import json

import pytest

from search.cli.selecting import Bounds, choose
from search.config import RunConfig
from search.records.ledger import goal_of
from search.records.run_folder import STAGES_FORMAT
from search.select import main
from spaces.errors import ConfigError
from tests.search.made_run import MANIFEST, baseline, make_run

BASELINE = baseline(latency_ms=20.0, size_bytes=1000)


@pytest.fixture
def bounded(open_ledger):
    """Open the ledger of a run with these bounds."""

    def make(**bounds):
        config = RunConfig(budget=0.1, **bounds)
        return open_ledger(config.budget, goal=goal_of(config, BASELINE))

    return make


@pytest.fixture
def ledger(record, result, open_ledger):
    made = open_ledger()
    points = [
        (0.08, 0.2, 300),
        (0.05, 0.4, 500),
        (0.01, 0.7, 900),
        (0.06, 0.9, 200),
        (0.3, 0.1, 50),
    ]
    for number, (loss, ratio, size) in enumerate(points):
        made.record(record(number, result("COMPLETE", loss, ratio, size_bytes=size)))
    made.record(record(9, result("STOPPED", 0.0, 0.05)))
    return made


def numbers(ledger, **bounds):
    return [record.number for record in choose(ledger, Bounds(**bounds), BASELINE)]


def test_by_budget_alone_the_fastest_is_first(ledger):
    assert numbers(ledger, budget=0.1) == [0, 1, 2, 3]


def test_another_budget_is_answered_from_models_that_lack_training_too(open_ledger, record, result):
    leveled = {"fidelities": (0.25, 1.0)}
    made = open_ledger(0.3, **leveled)
    for number, (loss, ratio) in enumerate([(0.35, 0.1), (0.1, 0.3), (0.02, 0.5)]):
        trained = {"fidelity": 0.25} if number < 2 else {}
        state = "PAUSED" if number < 2 else "COMPLETE"
        made.record(record(number, result(state, loss, ratio, size_bytes=100, **trained)))
    assert numbers(made, budget=0.3) == [0, 1, 2]
    assert numbers(open_ledger(0.07, **leveled), budget=0.07) == [1, 2]
    assert numbers(open_ledger(0.03, **leveled), budget=0.03) == [2]


@pytest.mark.parametrize(
    "bounds, chosen",
    [
        ({"max_latency_ms": 14.0}, [2, 1, 0]),
        ({"max_latency_ms": 8.0}, [1, 0]),
        # Also trials off the front.
        ({"max_size_bytes": 300}, [3, 0]),
        ({"max_size_bytes": 300, "max_latency_ms": 10.0}, [0]),
    ],
)
def test_of_those_within_the_bounds_the_one_that_loses_least_is_first(
    ledger, bounded, bounds, chosen
):
    assert numbers(bounded(**bounds), **bounds) == chosen


def test_without_other_bounds_the_one_of_least_cost_is_first(ledger, bounded):
    found = bounded(objective="size", max_latency_ms=14.0)
    assert numbers(found, budget=0.1) == [0, 1, 2], "those of 300, 500 and 900 bytes"


def test_of_equal_losses_the_one_of_least_cost_is_first(ledger, bounded, record, result):
    for number, (ratio, size) in ((11, (0.3, 100)), (12, (0.2, 120))):
        ledger.record(record(number, result("COMPLETE", 0.001, ratio, size_bytes=size)))
    bounds = {"max_latency_ms": 14.0}
    assert numbers(bounded(**bounds), **bounds)[:2] == [12, 11]
    assert numbers(bounded(objective="size", **bounds), **bounds)[:2] == [11, 12]


def test_a_smaller_budget_leaves_fewer(ledger, open_ledger):
    assert [r.number for r in choose(open_ledger(budget=0.05), Bounds(budget=0.05), BASELINE)] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    "bounds, said",
    [
        ({"max_latency_ms": 3.0}, "the fastest trial within a loss of 0.1 takes 4 ms"),
        ({"max_size_bytes": 100}, "the smallest trial within the other bounds has 200"),
        ({"max_size_bytes": 200, "max_latency_ms": 10.0}, "has 300"),
    ],
)
def test_bounds_that_no_trial_keeps_are_refused_with_the_nearest_trial(
    ledger, bounded, bounds, said
):
    with pytest.raises(ConfigError, match=said):
        numbers(bounded(**bounds), **bounds)


def test_a_budget_that_no_trial_keeps(open_ledger, ledger):
    with pytest.raises(ConfigError, match=r"none of 6 trials will lose at most 0\.001"):
        choose(open_ledger(budget=0.001), Bounds(budget=0.001), BASELINE)


def test_bounds_have_a_folders_name():
    assert Bounds(budget=0.02).name == "budget-0.02"
    assert Bounds(max_latency_ms=3.5, max_size_bytes=100_000).name == "latency-ms-3.5-bytes-100000"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("RUN",), "nothing to choose by"),
        (("RUN", "--budget", "0.05"), "not finished; carry it on with --resume"),
        (("/nowhere", "--budget", "0.05"), "holds no run"),
        (("RUN", "--budget", "much"), "--help"),
    ],
)
def test_mistakes_are_one_line(arguments, said, tmp_path, capsys):
    run = make_run(tmp_path, 3)
    assert main([str(run) if part == "RUN" else part for part in arguments]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_bounds_that_no_trial_keeps_are_refused_before_ray_starts(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "run", 24)
    (run / "manifest.json").write_text(json.dumps(MANIFEST))
    (run / "stages" / "format.json").write_text(str(STAGES_FORMAT))

    def started(*arguments, **more):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("search.context.connected", started)
    assert main([str(run), "--max-latency-ms", "0.001"]) == 2
    assert "the fastest trial within a loss of" in capsys.readouterr().err
