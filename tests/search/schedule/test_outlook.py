"""How long a search will still take, from what it has finished."""

import pytest

from search.schedule.estimates import SPEEDS, LevelSeconds
from search.schedule.forecast import Closing
from search.schedule.outlook import REFRESH_S, Outlook

FIDELITIES = (1 / 16, 1 / 4, 1.0)
LEVELS = tuple(LevelSeconds(4.0 * share, 0.0, 1.0) for share in (1, 3, 12))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def outlook(open_ledger):
    """Make the outlook of a search of nine plans by one worker, its ledger and its clock."""

    def make(closing, running=()):
        ledger, clock = open_ledger(fidelities=FIDELITIES), Clock()
        ahead = Outlook(
            LEVELS,
            ledger,
            9,
            1,
            running=lambda: list(running),
            closing=lambda: closing,
            clock=clock,
        )
        return ahead, ledger, clock

    return make


def test_the_rest_is_all_plans_and_their_promotions(outlook):
    # Two are promoted while others are still tried; with compute for one, one more in full.
    plans_s = 9 * 5 + 2 * (3 * 4 + 1)
    assert outlook(Closing(0.0, ends_early=False))[0].left_s() == plans_s
    assert outlook(Closing(1.0, ends_early=False))[0].left_s() == plans_s + 12 * 4 + 1


def test_if_nothing_promises_a_gain_only_the_plans_are_left(outlook):
    assert outlook(Closing(0.0, ends_early=True))[0].left_s() == 9 * 5
    trained_s = 0.5 * (15 * 4 + 2)
    assert outlook(Closing(0.5, ends_early=True))[0].left_s() == min(
        9 * 5 + trained_s, 9 * 5 + 2 * (3 * 4 + 1)
    )


def test_what_runs_is_nearly_done(outlook):
    ahead, *_ = outlook(Closing(0.0, ends_early=True), running=[(0, 2.0)])
    assert ahead.left_s() == 9 * 5 - 2


def test_it_counts_down_and_follows_the_pace_of_the_search(outlook, record, result):
    ahead, ledger, clock = outlook(Closing(0.0, ends_early=True))
    before = ahead.left_s()
    slow = {"finetune": 8.0, "export": 1.0}
    ledger.record(record(0, result("PAUSED", 0.1, 0.3, level=0, fidelity=1 / 16, seconds=slow)))
    clock.now += REFRESH_S / 2
    assert ahead.left_s() == before - REFRESH_S / 2
    clock.now += REFRESH_S / 2
    # Eight plans are left; training takes twice as long as guessed.
    assert ahead.left_s() == pytest.approx(8 * (2 * 4 + 1 + SPEEDS.between_s))
