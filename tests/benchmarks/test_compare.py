"""Figures of methods, from artificial evaluations."""

import pandas as pd
import pytest

from benchmarks.compare import figures, table


def rows(method, seed, outcomes):
    return [
        {
            "problem": "one",
            "method": method,
            "seed": seed,
            "number": number,
            "budget": 0.1,
            "state": state,
            "metric_loss": loss,
            "latency_ratio": latency,
        }
        for number, (state, loss, latency) in enumerate(outcomes)
    ]


@pytest.fixture
def found():
    done = "COMPLETE"
    return figures(
        pd.DataFrame(
            rows("ours", 0, [(done, 0.05, 0.5), ("FAILED", None, None), (done, 0.0, 0.8)])
            + rows("ours", 1, [(done, 0.2, 0.1)])
        )
    )


def test_only_complete_plans_within_the_budget_count(found):
    first, second = found.to_dict("records")
    assert (first["evaluations"], first["feasible"], first["best_latency_ratio"]) == (3, 2, 0.5)
    # Without a feasible plan the unpruned model is the best.
    assert (second["feasible"], second["best_latency_ratio"], second["hypervolume"]) == (0, 1.0, 0)


def test_hypervolumes_are_shares_of_the_box_and_grow(found):
    assert found["grown"][0] == pytest.approx([0.25, 0.25, 0.35])
    assert found["hypervolume"][0] == pytest.approx(0.35)


def test_the_table_has_mean_and_range_over_seeds(found):
    (line,) = table(found).splitlines()[2:]
    assert line == ("| one | ours | 2 | 0.7500 (0.5000 to 1.0000) | 0.1750 (0.0000 to 0.3500) |")
