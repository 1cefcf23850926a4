"""The loss of a delivered model on the test split."""

import pytest

from trainables.final import loss_on_test
from trainables.metrics import TopOneAccuracy


class Error(TopOneAccuracy):
    maximize = False


@pytest.mark.parametrize(
    ("metric", "baseline", "candidate", "loss"),
    [
        (TopOneAccuracy(), 0.5, 0.4, pytest.approx(0.2)),
        (Error(), 0.5, 0.4, pytest.approx(-0.2)),
        # A detector may have a metric of 0 on a test split of six images.
        (TopOneAccuracy(), 0.0, 0.0, 0.0),
        (TopOneAccuracy(), 0.0, 0.3, 0.0),
        (Error(), 0.0, 0.0, 0.0),
        (Error(), 0.0, 0.3, 1.0),
    ],
)
def test_a_baseline_of_0_on_test_ends_no_run(metric, baseline, candidate, loss):
    assert loss_on_test(metric, baseline, candidate) == loss
