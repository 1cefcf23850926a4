"""What a search has yet to do, simulated with plans that are alike."""

import pytest

from search.schedule.forecast import EARLY, Course, Standing

FIDELITIES, SECONDS = (1 / 16, 1 / 4, 1.0), (1.0, 3.0, 12.0)
NEW = Standing.new(3)


def course(plans, at_once=1, standing=NEW, **more):
    return Course(SECONDS, FIDELITIES, plans, at_once, standing, **more)


def test_plans_run_side_by_side():
    assert [course(24, n).proposals_s() for n in (1, 2, 24, 100)] == [24, 12, 1, 1]
    assert course(0).most_s(3) == 0


def test_one_of_three_is_promoted_while_plans_are_proposed():
    # After the last of 25 plans nothing is due: eight are promoted, and two of those.
    assert course(25).most_s(0) == 25 + 8 * 3 + 2 * 12
    assert course(2).most_s(0) == 2


def test_after_the_last_plan_the_finalists_are_trained_in_full():
    without = course(25).most_s(0)
    # One of three has been promoted before.
    assert course(25).most_s(1) == without + 12
    assert course(25).most_s(3) == without + 12 + 2 * 15
    # There are two plans, and they can be paid for.
    assert course(2).most_s(3) == 2 + 2 * 15
    # Compute for less than a training in full buys nothing.
    assert course(25).most_s(0.7) == without


def test_one_level_has_no_promotions():
    once = Course((2.0,), (1.0,), 5, 1, Standing.new(1))
    assert once.most_s(3) == once.proposals_s() == 10


def test_the_unpruned_model_is_only_measured():
    assert course(3, untrained_s=0.5).proposals_s() == 2.5
    assert course(3, untrained_s=0.5).most_s(5) == 2.5 + 2 * 15


def test_a_search_that_ends_early_trains_few_plans_in_full():
    assert course(24).least_s() == 24 + EARLY * 15
    assert course(24, at_once=2).least_s() == 12 + 15
    # One training cannot be shared.
    assert course(24, at_once=64).least_s() == 1 + 15
    assert course(24).least_s(0.5) == 24 + 7.5
    assert course(24).least_s(0) == 24


def test_what_runs_ends_first():
    begun = Standing(reached=(9, 3, 0), paused=(6, 3, 0))
    # The last worker's promotion still takes 10 s, and nothing else is left to do.
    assert course(0, standing=begun, running=[(2, 10.0)]).most_s(0) == 10
    assert course(0, at_once=2, standing=begun, running=[(2, 10.0)]).most_s(1) == 12
    assert course(0, standing=begun, running=[(0, 0.5)]).proposals_s() == 0.5


def test_a_standing_counts_the_trials_at_each_level(record, result):
    found = [
        result("PAUSED", 0.1, 0.3, level=0, fidelity=1 / 16),
        result("PAUSED", 0.1, 0.3, level=1, fidelity=1 / 4),
        result("COMPLETE", 0.1, 0.3, level=2, fidelity=1.0),
        result("COMPLETE", 0.0, 0.9, level=0, fidelity=1.0),
        result("FAILED"),
    ]
    standing = Standing.of([record(n, one) for n, one in enumerate(found)], 3)
    assert standing == Standing(reached=(4, 2, 1), paused=(1, 1, 0))


@pytest.mark.parametrize("plans", [1, 7, 30])
@pytest.mark.parametrize("at_once", [1, 3])
def test_more_to_do_never_takes_less(plans, at_once):
    ends = [course(plans, at_once).most_s(finalists) for finalists in (0, 1, 2, 3, 6)]
    assert ends == sorted(ends)
    assert course(plans, at_once).proposals_s() <= ends[0]
