"""Searches with levels of training, at equal compute."""

import pandas as pd
import pytest

from benchmarks.promoted import METHODS, Run, compare, searched, table
from benchmarks.tabulated import tabulated
from spaces.plan import Plan, QuantizationChoice

COMPUTE = 4.0


@pytest.mark.parametrize("method", METHODS)
def test_a_method_spends_no_more_than_its_compute_and_measures_plans_in_full(method):
    run = searched("tabulated-0", method, 0, COMPUTE)
    fidelities = [one.fidelity for one in run.known.values()]
    assert -1e-9 <= run.left < COMPUTE
    assert 1.0 in fidelities
    # Every plan of the other methods begins with the first level.
    assert (len(fidelities) > 2 * COMPUTE) == (method != "in full")


def test_training_on_costs_what_is_missing():
    problem, plan = tabulated("tabulated-0"), Plan.of({}, QuantizationChoice.INT8_PTQ)
    run = Run(problem, 0, 5.0)
    whole = run.cost(plan, run.last)
    for level in range(run.last + 1):
        run.train(plan, level)
    assert 5.0 - run.left == pytest.approx(whole + 3 * (whole - 1))
    assert run.kept() == [run.known[plan]]
    assert run.best() == run.known[plan].latency_ratio


def test_the_same_seed_gives_the_same_search():
    one, other = (searched("misled-0", "promoted", 0, COMPUTE).known for _ in range(2))
    assert one == other


def test_the_table_compares_in_pairs():
    rows = [
        {
            "problem": f"tabulated-{number}",
            "method": method,
            "seed": 0,
            "latency_ratio": scale * (0.1 + number),
            "true_use": 0.8,
            "plans": 10,
            "trained": 2,
        }
        for number in (0, 1)
        for method, scale in (("promoted", 1.0), ("other", 1.1))
    ]
    lines = table(pd.DataFrame(rows)).splitlines()
    assert lines[3] == "| tabulated | other | 2 | +9.5 ± 0.0 % | 0.80 | 10 | 2.0 |"


def test_comparing_gives_a_row_a_search():
    found = compare(["tabulated-0"], ["promoted"], 1, 1.5)
    assert len(found) == 1
    assert 0 < found["latency_ratio"][0] <= 1
