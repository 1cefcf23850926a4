"""The estimate at the start is kept, on tabulated searches in simulated time."""

from statistics import mean

import pytest

from search.config import RunConfig
from search.schedule.estimates import estimate, level_seconds
from search.schedule.outlook import Outlook
from tests.search.made_run import baseline
from tests.search.schedule.simulated import TabulatedSearch, tabulated

# As the built-in problem on two cores, and a model that trains and evaluates ten times slower.
FAST = {"train_s": 1 / 160, "evaluate_s": 0.8}
SLOW = {"train_s": 1 / 16, "evaluate_s": 8.0}
TIGHT, LOOSE = 0.05, 0.5
"""Budgets that the most pruned plan exceeds, and keeps."""
WITHIN = 1.25
"""Ratio of the estimate and the time taken, either way."""


@pytest.fixture
def searched(tmp_path):
    """Run a search; return it, and its estimate in seconds: the least and the expected ones.

    The start of workers and the end of the run are not among them. `watched` is given the search
    and its outlook after every level.
    """

    def make(budget, pace, workers, problem=0, watched=lambda *_: None, **settings):
        config, unpruned = RunConfig(budget=budget, **settings), baseline(**pace)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        levels = level_seconds(config, unpruned)
        table = tabulated(budget, config, unpruned, problem)
        search = TabulatedSearch(folder, table, config, levels, workers)
        outlook = Outlook(
            levels,
            search.ledger,
            config.trials,
            workers,
            running=search.running,
            closing=search.searcher.closing,
            clock=lambda: search.now,
        )
        search.run(lambda: watched(search, outlook))
        early = search.may_end_early
        found = estimate(config, unpruned, config.trials, workers, may_end_early=early)
        return search, found.least_s - found.end_s, found.total_s - found.end_s

    return make


@pytest.mark.parametrize(
    ("trials", "finalists", "workers", "pace"),
    [
        (20, 0, 1, FAST),
        (20, 3, 1, FAST),
        (20, 3, 2, FAST),
        (20, 3, 2, SLOW),
        (40, 0, 2, FAST),
        (40, 3, 2, FAST),
    ],
)
def test_a_search_takes_as_long_as_estimated(searched, trials, finalists, workers, pace):
    search, least_s, expected_s = searched(TIGHT, pace, workers, trials=trials, finalists=finalists)
    assert least_s == expected_s
    assert search.now / WITHIN <= expected_s <= search.now * WITHIN


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("finalists", [0, 3])
def test_of_few_plans_it_holds_on_the_mean(searched, finalists, workers):
    """How many of six plans promise a gain is chance."""
    found = [searched(TIGHT, FAST, workers, n, trials=6, finalists=finalists) for n in range(4)]
    took_s = mean(search.now for search, *_ in found)
    assert took_s / WITHIN <= found[0][2] <= took_s * WITHIN


@pytest.mark.parametrize(("trials", "finalists"), [(20, 0), (20, 3), (40, 3)])
def test_a_search_that_may_end_early_takes_the_least_or_more(searched, trials, finalists):
    search, least_s, most_s = searched(LOOSE, FAST, 2, trials=trials, finalists=finalists)
    assert search.may_end_early
    assert least_s / WITHIN <= search.now <= most_s


@pytest.mark.parametrize(("budget", "finalists"), [(TIGHT, 0), (TIGHT, 3), (LOOSE, 3)])
def test_what_is_left_is_known_better_as_the_search_goes_on(searched, budget, finalists):
    seen = []
    search, *_ = searched(
        budget,
        FAST,
        2,
        trials=20,
        finalists=finalists,
        watched=lambda search, outlook: (
            # The unpruned model, the first plan, tells nothing of how the others will do.
            any(record.plan.is_pruned for record in search.ledger.records.values())
            and seen.append((search.now, outlook.left_s()))
        ),
    )
    errors = {now: abs(now + left_s - search.now) / search.now for now, left_s in seen}
    # After the first trained plan that is one of three or four levels in all.
    assert max(errors.values()) <= 0.3
    assert max(error for now, error in errors.items() if now > 0.6 * search.now) < 0.15
    assert seen[-1] == (search.now, 0.0)
