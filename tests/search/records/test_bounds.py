"""What trials promise, and which may be delivered, by the objective and within the bounds."""

import pytest

from search.config import RunConfig
from search.records.ledger import goal_of
from search.records.prospects import Prospects, rounded_up
from tests.search.made_run import baseline

LEVELS = (0.25, 1.0)
# 20 ms and 1000 bytes, unpruned.
BASELINE = baseline(size_bytes=1000)


@pytest.fixture
def prospects(open_ledger, record, result):
    """Judge trials of these (state, loss, latency ratio, bytes) by a study's settings."""

    def make(trials, **settings):
        config = RunConfig(budget=0.1, **settings)
        ledger = open_ledger(config.budget, fidelities=LEVELS, goal=goal_of(config, BASELINE))
        for number, (state, loss, ratio, size) in enumerate(trials):
            trained = {"fidelity": LEVELS[0]} if state == "PAUSED" else {}
            ledger.record(record(number, result(state, loss, ratio, size_bytes=size, **trained)))
        return Prospects(ledger), list(ledger.records.values())

    return make


TRIALS = [
    ("COMPLETE", 0.05, 0.5, 200),
    ("COMPLETE", 0.05, 0.3, 400),
    ("PAUSED", 0.02, 0.2, 600),
    ("PAUSED", 0.02, 0.7, 100),
    ("STOPPED", None, 0.9, None),
    ("COMPLETE", 0.5, 0.9, 900),
]


def numbers(records):
    return [record.number for record in records]


@pytest.mark.parametrize(
    "settings, delivered",
    [
        ({}, [2, 1, 0, 3]),
        ({"objective": "size"}, [3, 0, 1, 2]),
        ({"objective": "size", "max_latency_ms": 10}, [0, 1, 2]),
        ({"max_size_bytes": 500}, [1, 0, 3]),
        ({"max_size_bytes": 200, "max_latency_ms": 10}, [0]),
    ],
)
def test_the_least_cost_within_the_bounds_is_delivered_first(prospects, settings, delivered):
    found, _ = prospects(TRIALS, **settings)
    assert numbers(found.candidates()) == delivered


def test_what_exceeds_a_bound_promises_nothing_and_its_verdict_says_so(prospects):
    found, records = prospects(TRIALS, max_latency_ms=12, max_size_bytes=500)
    verdicts = [found.verdict(record) for record in records]
    assert verdicts == ["feasible", "feasible", "too large", "too slow", "too slow", "too slow"]
    assert found.promises(records[2:4]) == [0, 0]
    assert found.predicted_front() == []
    assert found.incumbent() == 0.3


def test_a_promise_is_a_gain_of_the_objective(prospects):
    found, records = prospects(TRIALS, objective="size")
    large, small = found.promises(records[2:4])
    assert large == 0 and 0 < small <= found.incumbent() - 0.1
    assert found.incumbent() == 0.2


def test_fewest_multiply_adds_are_delivered_first_and_of_equal_ones_the_fastest(
    prospects, open_ledger, record, result
):
    from spaces.layers import Layer
    from spaces.plan import Plan, QuantizationChoice

    layers = [Layer("a", 100, 10, 64, 3, {"a": 1.0}, {}), Layer("b", 50, 5, 32, 64, {"b": 1.0}, {})]
    goal = goal_of(RunConfig(budget=0.1, objective="multiply_adds"), BASELINE)
    ledger = open_ledger(0.1, layers=layers, goal=goal)
    kinds = (QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ)
    plans = [Plan.of({"a": ratio}, kind) for ratio in (0.25, 0.5) for kind in kinds]
    for number, plan in enumerate(plans):
        ratio = 0.2 if number % 2 else 0.4
        ledger.record(record(number, result("COMPLETE", 0.01, ratio), plan))
    assert numbers(Prospects(ledger).candidates()) == [3, 2, 1, 0]
    assert ledger.cost(ledger.records[3]) == pytest.approx((0.5 * 100 + 50) / 150)


@pytest.mark.parametrize(
    "trials, settings, said",
    [
        (TRIALS, {"max_latency_ms": 3}, "the fastest trial within a loss of 0.1 takes 4 ms;"),
        (TRIALS, {"max_size_bytes": 99}, "--max-size-bytes 99: the smallest trial .* has 100;"),
        (TRIALS[4:5], {"max_latency_ms": 3}, "the fastest trial of all takes 18 ms;"),
        (TRIALS[5:], {}, "none of 1 trials will lose at most 0.1; give"),
        (TRIALS[5:], {"max_size_bytes": 950}, "none of 1 trials will lose at most 0.1; give"),
    ],
)
def test_without_a_candidate_the_nearest_trial_is_named(prospects, trials, settings, said):
    found, _ = prospects(trials, **settings)
    assert found.candidates() == []
    import re

    assert re.search(said, found.obstacle(BASELINE))


@pytest.mark.parametrize("value, up", [(3.456, 3.46), (3.46, 3.46), (0.12001, 0.121), (1234, 1240)])
def test_a_bound_to_give_is_rounded_up(value, up):
    assert rounded_up(value) == pytest.approx(up)
