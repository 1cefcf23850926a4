"""What a finished run's planner foresaw."""

import numpy as np

from benchmarks.foresight import foreseen, line, settings_with
from spaces.planning.settings import DEFAULT_SETTINGS
from tests.search.made_run import BUDGET, make_run


def test_proposed_plans_are_predicted_from_those_before_them(tmp_path):
    run = make_run(tmp_path / "run", 12)
    predicted, known, budget = foreseen(run, DEFAULT_SETTINGS)
    assert budget == BUDGET
    # Of 12 trials three are warm starts, one was stopped before its training, one failed.
    assert predicted.shape == known.shape == (7,)
    assert np.isfinite(predicted).all()
    # A loss at full fidelity is known as it was measured.
    assert (known >= -0.003).all() and (known <= 0.403).all()
    fewer, _, _ = foreseen(make_run(tmp_path / "fewer", 6), DEFAULT_SETTINGS)
    assert np.allclose(fewer, predicted[: len(fewer)])
    others, _, _ = foreseen(run, settings_with(["multiplier_spread=0.1"]))
    assert not np.allclose(others, predicted)


def test_a_hopeless_plan_is_foreseen_if_it_was_predicted_above_the_budget():
    known = np.array([0.05, 0.5, 0.5, 0.15])
    said = line(np.array([0.07, 0.1, 0.4, 0.15]), known, 0.1)
    assert said == (
        "4 proposed, 2 hopeless, 1 of them unforeseen; the 2 near the budget: mean error 0.100 of "
        "the budget"
    )
    assert line(np.array([0.1]), np.array([0.5]), 0.1).endswith("the 0 near the budget: no error")
