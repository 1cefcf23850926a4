import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.tune.stopping import BudgetScheduler, reason_to_stop
from trainables.files.codec import encode
from trainables.results import TrialResult
from trainables.trainable import RESULT

MOST = 1.0


def test_a_shape_that_is_too_slow_is_not_trained(result):
    reason = reason_to_stop(result("RUNNING", ratio=1.25), MOST)
    assert "1.250" in reason
    assert reason_to_stop(result("RUNNING", ratio=1.0), MOST) is None
    assert reason_to_stop(result("RUNNING", ratio=1.25), 1.5) is None


def test_a_shape_above_the_bound_on_latency_is_not_trained(result):
    reason = reason_to_stop(result("RUNNING", ratio=0.4), MOST, 0.3)
    assert reason == "latency ratio 0.400 is above 0.300, the bound of max_latency_ms"
    assert reason_to_stop(result("RUNNING", ratio=0.3), MOST, 0.3) is None


def test_a_trial_that_has_not_been_timed_goes_on(result):
    assert reason_to_stop(result("RUNNING"), MOST) is None


@pytest.mark.parametrize("state", ["PAUSED", "COMPLETE", "FAILED"])
def test_a_trial_that_has_ended_is_not_stopped(result, measurement, state):
    assert reason_to_stop(result(state, 0.9, 2.0, [measurement(0.9)]), MOST) is None


def test_the_scheduler_stops_a_trial_and_keeps_the_reason(result):
    reasons = {}
    scheduler = BudgetScheduler(MOST, reasons.__setitem__)
    slow, fast = Trial("slow", stub=True), Trial("fast", stub=True)

    def decision(trial, ratio):
        reported = {RESULT: encode(TrialResult, result("RUNNING", ratio=ratio))}
        return scheduler.on_trial_result(None, trial, reported)

    assert decision(slow, 1.25) == TrialScheduler.STOP
    assert decision(fast, 0.5) == TrialScheduler.CONTINUE
    assert list(reasons) == [slow.trial_id]
    assert "1.250" in reasons[slow.trial_id]
