import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.tune.stopping import (
    EVIDENCE,
    SLACK,
    BudgetScheduler,
    attainable_loss,
    reason_to_stop,
)
from trainables.files.codec import encode
from trainables.results import TrialResult
from trainables.trainable import RESULT

BUDGET = 0.1
MOST = 1.0


@pytest.fixture
def finished(record, result, measurement):
    """Make the record of a trial that had one loss at its rung and another at the end."""

    def make(number, at_rung, final, ratio=0.5, stage="finetune", rung=0):
        measurements = [
            measurement(at_rung, stage, rung),
            measurement(final, "quantize", rung + 1, 1.0),
        ]
        return record(number, result("COMPLETE", final, ratio, measurements))

    return make


@pytest.fixture
def experienced(open_ledger, finished):
    """A ledger in which every trial ended with half of its loss at the rung."""
    ledger = open_ledger(BUDGET)
    for number in range(EVIDENCE):
        ledger.record(finished(number, 0.16, 0.08, ratio=0.5))
    return ledger


def test_the_attainable_loss_is_the_best_share_seen_with_some_slack(experienced, measurement):
    assert attainable_loss(measurement(0.3), experienced) == pytest.approx(SLACK * 0.5 * 0.3)


def test_the_best_share_counts_not_the_usual_one(experienced, finished, measurement):
    experienced.record(finished(9, 0.4, 0.04))
    assert attainable_loss(measurement(0.3), experienced) == pytest.approx(SLACK * 0.1 * 0.3)


def test_a_trial_that_ended_in_a_gain_makes_anything_attainable(experienced, finished, measurement):
    experienced.record(finished(9, 0.4, -0.01))
    assert attainable_loss(measurement(0.3), experienced) == 0.0


@pytest.mark.parametrize("loss", [0.0, -0.02])
def test_a_trial_without_loss_at_its_rung_may_reach_anything(experienced, measurement, loss):
    assert attainable_loss(measurement(loss), experienced) is None


def test_nothing_is_known_before_there_is_evidence(
    open_ledger, finished, record, result, measurement
):
    ledger = open_ledger(BUDGET)
    for number in range(EVIDENCE - 1):
        ledger.record(finished(number, 0.16, 0.08))
    # Neither of these is evidence for what becomes of a loss at this rung.
    ledger.record(record(10, result("STOPPED", 0.16, 0.5, [measurement(0.16)])))
    ledger.record(record(11, result("COMPLETE", 0.08, 0.5, [measurement(0.08, "quantize", 1)])))
    ledger.record(finished(12, 0.0, 0.08))
    ledger.record(finished(13, 0.16, 0.08, rung=1))
    ledger.record(finished(14, 0.16, 0.08, stage="retrain"))
    assert attainable_loss(measurement(0.3), ledger) is None
    ledger.record(finished(EVIDENCE, 0.16, 0.08))
    assert attainable_loss(measurement(0.3), ledger) == pytest.approx(SLACK * 0.5 * 0.3)


def test_a_shape_that_is_too_slow_is_not_trained(open_ledger, result):
    ledger = open_ledger(BUDGET)
    reason = reason_to_stop(result("RUNNING", ratio=1.25), ledger, MOST)
    assert "1.250" in reason
    assert reason_to_stop(result("RUNNING", ratio=1.0), ledger, MOST) is None
    assert reason_to_stop(result("RUNNING", ratio=1.25), ledger, 1.5) is None


def test_a_trial_that_has_not_been_timed_goes_on(experienced, result):
    assert reason_to_stop(result("RUNNING"), experienced, MOST) is None


def test_a_loss_that_will_not_come_within_the_budget_ends_a_trial(experienced, result, measurement):
    # 0.8 * 0.5 of it may be left at the end.
    hopeless = result("RUNNING", ratio=0.1, measurements=[measurement(0.26)])
    assert str(BUDGET) in reason_to_stop(hopeless, experienced, MOST)
    hopeful = result("RUNNING", ratio=0.1, measurements=[measurement(0.24)])
    assert reason_to_stop(hopeful, experienced, MOST) is None


def test_the_last_rung_decides(experienced, result, measurement):
    rungs = [measurement(0.9), measurement(0.2)]
    recovered = result("RUNNING", ratio=0.1, measurements=rungs)
    assert reason_to_stop(recovered, experienced, MOST) is None


def test_a_trial_that_a_feasible_one_will_dominate_ends(experienced, result, measurement):
    """At most 0.4 of the loss is left; trial 0 has 0.08 at half the latency."""
    running = [measurement(0.21)]
    dominated = result("RUNNING", ratio=0.6, measurements=running)
    assert "trial 0 is faster" in reason_to_stop(dominated, experienced, MOST)
    faster = result("RUNNING", ratio=0.4, measurements=running)
    assert reason_to_stop(faster, experienced, MOST) is None
    more_accurate = result("RUNNING", ratio=0.6, measurements=[measurement(0.19)])
    assert reason_to_stop(more_accurate, experienced, MOST) is None


def test_a_trial_beyond_the_budget_dominates_nothing(open_ledger, finished, result, measurement):
    ledger = open_ledger(BUDGET)
    for number in range(EVIDENCE):
        ledger.record(finished(number, 0.2, 0.1001, ratio=0.5))
    running = result("RUNNING", ratio=0.6, measurements=[measurement(0.245)])
    assert attainable_loss(running.measurements[-1], ledger) < BUDGET
    assert reason_to_stop(running, ledger, MOST) is None


@pytest.mark.parametrize("state", ["COMPLETE", "FAILED"])
def test_a_trial_that_has_ended_is_not_stopped(experienced, result, measurement, state):
    ended = result(state, 0.9, 2.0, [measurement(0.9)])
    assert reason_to_stop(ended, experienced, MOST) is None


def test_the_scheduler_stops_a_trial_and_keeps_the_reason(open_ledger, result):
    reasons = {}
    scheduler = BudgetScheduler(open_ledger(BUDGET), MOST, reasons.__setitem__)
    slow, fast = Trial("slow", stub=True), Trial("fast", stub=True)

    def decision(trial, ratio):
        reported = {RESULT: encode(TrialResult, result("RUNNING", ratio=ratio))}
        return scheduler.on_trial_result(None, trial, reported)

    assert decision(slow, 1.25) == TrialScheduler.STOP
    assert decision(fast, 0.5) == TrialScheduler.CONTINUE
    assert list(reasons) == [slow.trial_id]
    assert "1.250" in reasons[slow.trial_id]
