"""The figures of bench/summary.json, from artificial evaluations."""

import pandas as pd
import pytest

from benchmarks.compare import jobs
from benchmarks.summary import OPTUNA, OURS, THRESHOLD, compared


def row(problem, method, seed, best, volume=0.5, grown=(0.1, 0.2)):
    return {
        "problem": problem,
        "method": method,
        "seed": seed,
        "evaluations": len(grown),
        "best_latency_ratio": best,
        "hypervolume": volume,
        "grown": list(grown),
    }


@pytest.fixture
def found():
    rows = []
    for seed, faster in enumerate((0.5, 0.5, 0.8, 0.8)):
        for problem in ("a", "b"):
            threshold = 0.2 * (1 + seed)
            rows += [
                row(problem, THRESHOLD, seed, threshold),
                row(problem, OURS, seed, faster * threshold, 1.0, (0.3, 0.6)),
            ]
            if seed < 2:
                rows.append(row(problem, OPTUNA, seed, 0.4, 0.5, (0.4, 0.5)))
    return pd.DataFrame(rows)


def test_latencies_are_compared_seed_by_seed(found):
    figure = compared(found)["latency_vs_threshold_int8"]
    assert figure["value"] == pytest.approx((0.5 * 0.8) ** 0.5)
    assert figure["by_problem"]["a"] == pytest.approx(figure["value"])
    # The logarithms of four pairs are 0.235 above and below their mean.
    assert figure["standard_errors"]["a"] == pytest.approx(0.235 * 2 / 3**0.5 / 2, rel=1e-2)
    assert figure["standard_error"] == pytest.approx(figure["standard_errors"]["a"] / 2**0.5)


def test_a_seed_that_only_one_of_them_has_does_not_count(found):
    more = pd.DataFrame([row("a", OURS, 9, 0.001)])
    with_it = compared(pd.concat([found, more], ignore_index=True))
    assert with_it["latency_vs_threshold_int8"] == compared(found)["latency_vs_threshold_int8"]


def test_evaluations_to_reach_optuna_count_seeds_that_both_have(found):
    figures = compared(found)
    assert figures["evaluations_vs_optuna"]["value"] == pytest.approx(1.0)
    assert figures["hypervolume_vs_threshold_int8"]["value"] == pytest.approx(2.0)


def test_some_methods_get_twice_the_seeds():
    found = list(jobs(["a"], [THRESHOLD, OPTUNA], 2, twice=[THRESHOLD]))
    assert [seed for _, method, seed in found if method == THRESHOLD] == [0, 1, 2, 3]
    assert [seed for _, method, seed in found if method == OPTUNA] == [0, 1]
