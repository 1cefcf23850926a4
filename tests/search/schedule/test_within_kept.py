"""A fitted search keeps its deadline and trains a plan in full in it, in simulated time."""

import pytest

from search.config import RunConfig
from search.schedule.estimates import SPEEDS, final_seconds, level_seconds
from search.schedule.fitting import fitted, with_levels
from tests.search.made_run import baseline
from tests.search.schedule.simulated import TabulatedSearch, tabulated

WORKERS = 2
# As the built-in problem on two cores, and a model of which one training in full takes an hour.
FAST = baseline(train_s=1 / 160, evaluate_s=0.8, latency_ms=25.0)
SLOW = baseline(train_s=1 / 4, evaluate_s=5.0, latency_ms=100.0)
TIGHT, LOOSE = 0.05, 0.5
"""Budgets that the most pruned plan exceeds, and keeps."""


@pytest.fixture
def searched(tmp_path):
    """Run the search that is fitted to a time; return it, and the seconds when the run ends."""

    def make(unpruned, left_s, slower, budget):
        asked = RunConfig(budget=budget, within="1h")
        config = with_levels(asked, fitted(asked, unpruned, left_s, WORKERS))
        end_s = final_seconds(config, unpruned)
        search = TabulatedSearch(
            tmp_path,
            tabulated(budget, config, unpruned),
            config,
            level_seconds(config, unpruned),
            WORKERS,
            slower=slower,
            ends=(left_s - SPEEDS.start_s, end_s),
        )
        search.run()
        return search, SPEEDS.start_s + search.now + end_s

    return make


@pytest.mark.parametrize("budget", [TIGHT, LOOSE])
@pytest.mark.parametrize("slower", [0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize(
    ("unpruned", "left_s"), [(FAST, 45.0), (FAST, 60.0), (FAST, 150.0), (SLOW, 280.0)]
)
def test_little_time_is_enough_for_a_plan_in_full(searched, unpruned, left_s, slower, budget):
    search, ends_s = searched(unpruned, left_s, slower, budget)
    assert search.trained[-1] >= 1
    assert ends_s <= left_s
    assert search.busy_s >= 0.8 * WORKERS * search.now


@pytest.mark.parametrize("slower", [1.0, 1.5])
def test_the_time_is_used_until_no_training_in_full_fits(searched, slower):
    left_s = 280.0
    search, ends_s = searched(FAST, left_s, slower, TIGHT)
    assert 0.85 * left_s <= ends_s <= left_s
    assert search.busy_s >= 0.8 * WORKERS * search.now
