"""The ablation's table for known differences."""

import pandas as pd
import pytest

from benchmarks.ablation import differences, table
from benchmarks.compare import figures


def run(problem, method, seed, latencies):
    return [
        {
            "problem": problem,
            "method": method,
            "seed": seed,
            "number": number,
            "budget": 0.1,
            "state": "COMPLETE",
            "metric_loss": 0.0,
            "latency_ratio": latency,
        }
        for number, latency in enumerate(latencies)
    ]


@pytest.fixture
def found():
    """On an easy and a hard problem, a method that is always 10 % slower at the end."""
    rows = []
    for seed in (0, 1):
        for problem, scale in (("easy-0", 0.5), ("hard-3", 0.1)):
            rows += run(problem, "ours", seed, [0.9] * 7 + [scale])
            rows += run(problem, "less", seed, [0.8] * 7 + [1.1 * scale])
    return figures(pd.DataFrame(rows))


def test_differences_are_taken_pair_by_pair(found):
    pairs = differences(found, "ours")
    assert sorted(pairs["kind"]) == ["easy", "easy", "hard", "hard"]
    assert pairs["log_latency"].to_numpy() == pytest.approx(0.0953, abs=1e-4)
    # The lost volume is 0.05 of the box on the easy problem, 0.01 on the hard one.
    by_kind = pairs.groupby("kind")["hypervolume"].mean()
    assert by_kind.to_dict() == pytest.approx({"easy": -0.05, "hard": -0.01})
    assert pairs["early"].to_numpy() == pytest.approx(0.1)


def test_the_table_has_a_row_a_method_and_kind_with_its_error(found):
    lines = table(found, "ours").splitlines()
    assert lines[2] == "| easy | less | 2 | +9.5 ± 0.0 % | -0.0500 ± 0.0000 | +0.1000 ± 0.0000 |"
    assert lines[3].startswith("| hard | less | 2 | +9.5 ± 0.0 % | -0.0100 ")
