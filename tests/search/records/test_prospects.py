"""What is predicted of trials, the margin of several models, and what may be delivered."""

import pytest

from search.records.prospects import LIKELY, TOO, VERDICTS, Prospects, raised

LEVELS = (0.25, 1.0)
BUDGET = 0.1


@pytest.fixture
def ledger(open_ledger, record, result):
    """Two trials of full fidelity, of which one is over its margin, and two paused ones."""
    made = open_ledger(BUDGET, fidelities=LEVELS, confidence_z=1.64)
    points = [
        ("COMPLETE", 0.04, 0.5, 1.0),
        ("COMPLETE", 0.095, 0.3, 1.0),
        ("PAUSED", 0.08, 0.4, 0.25),
        ("PAUSED", 0.9, 0.1, 0.25),
    ]
    for number, (state, loss, ratio, fidelity) in enumerate(points):
        found = result(state, loss, ratio, fidelity=fidelity, standard_error=0.005)
        made.record(record(number, found))
    return made


@pytest.mark.parametrize("judged, z", [(0, 1.64), (1, 1.64), (2, 1.955), (5, 2.322)])
def test_the_margin_grows_with_the_models_that_were_judged(judged, z):
    assert raised(1.64, judged) == pytest.approx(z, abs=0.005)


def test_no_margin_stays_none():
    assert raised(0, 7) == 0


def test_the_margin_counts_trials_of_full_fidelity_and_what_comes_to_them(ledger):
    prospects = Prospects(ledger)
    assert prospects.margin(0.01) == pytest.approx(0.01 * raised(1.64, 2))
    assert prospects.margin(0.01, more=3) == pytest.approx(0.01 * raised(1.64, 5))
    assert prospects.margin(None) == 0


def test_only_measured_losses_with_their_margin_are_kept(ledger):
    assert [r.number for r in Prospects(ledger).kept()] == [0]
    assert Prospects(ledger).incumbent() == 0.5


def test_candidates_are_the_likely_and_the_kept_the_fastest_first(ledger):
    prospects = Prospects(ledger)
    assert [r.number for r in prospects.likely()] == [2]
    assert [r.number for r in prospects.candidates()] == [2, 0]
    assert [r.number for r in prospects.predicted_front()] == [2]


def test_a_likely_trial_that_is_slower_than_the_incumbent_is_not_on_the_front(
    ledger, record, result
):
    ledger.record(record(9, result("COMPLETE", 0.01, 0.2, standard_error=0.001)))
    prospects = Prospects(ledger)
    assert [r.number for r in prospects.likely()] == [2]
    assert prospects.predicted_front() == []
    assert prospects.promises(ledger.paused())[0] == 0


def test_a_measured_loss_is_its_own_prediction_and_a_paused_one_shrinks(ledger):
    losses, errors = Prospects(ledger).predicted([ledger.records[0], ledger.records[2]])
    assert (losses[0], errors[0]) == (0.04, 0)
    assert 0 < losses[1] < 0.08 and errors[1] > 0


def test_every_verdict(ledger, record, result):
    ledger.record(record(9, result("STOPPED", ratio=2.0)))
    ledger.record(record(10, result("FAILED")))
    ledger.record(record(11, result("COMPLETE", 0.2, 0.1)))
    prospects = Prospects(ledger)
    verdicts = {n: prospects.verdict(r) for n, r in ledger.records.items()}
    assert verdicts == {
        0: "feasible", 1: "feasible", 2: "predicted", 3: "unlikely",
        9: "stopped", 10: "failed", 11: "over budget",
    }  # fmt: skip
    assert {*verdicts.values(), *TOO.values()} == set(VERDICTS)


def test_chances_decide_what_is_likely(ledger):
    chances = Prospects(ledger).chances([ledger.records[2], ledger.records[3]])
    assert chances[1] < LIKELY <= chances[0]
