"""Problems whose trials are a formula."""

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.tabulated import KINDS, QAT_SLOWER, Tabulated, is_tabulated, tabulated
from spaces.plan import ON_CPU, Plan

FLOAT, BF16, PTQ, QAT, PACT = ON_CPU


def test_names_are_a_kind_and_a_number():
    assert is_tabulated("misled-3") and not is_tabulated("fashion_mnist")
    problem = tabulated("misled-3")
    assert (problem.seed, problem.misled) == (3, KINDS["misled"]["misled"])


def test_the_unpruned_float_model_is_the_baseline():
    problem = Tabulated(0)
    assert problem.true_latency(Plan()) == pytest.approx(1.0)
    assert problem.true_loss(Plan()) == 0.0


def test_latency_is_a_staircase_in_channels():
    """Of 32 channels 31 and 17 are two blocks of 16, 16 are one: the last step saves most."""
    problem = Tabulated(0)
    name = problem.space.groups[0].name
    latency = [problem.true_latency(Plan.of({name: 1 - n / 32}, FLOAT)) for n in (31, 17, 16)]
    assert latency[0] - latency[1] > 0
    assert latency[1] - latency[2] > 3 * (latency[0] - latency[1]) / 14


def test_losses_of_neighbours_exceed_their_sum():
    problem = Tabulated(0)
    one, other = (problem.space.groups[index].name for index in (3, 4))
    alone = sum(problem.true_loss(Plan.of({name: 0.5}, FLOAT)) for name in (one, other))
    assert problem.true_loss(Plan.of({one: 0.5, other: 0.5}, FLOAT)) > 1.05 * alone


def test_lower_precision_is_faster_and_quantization_aware_training_slower_than_calibration():
    problem = Tabulated(0)
    latency = {c: problem.true_latency(Plan.of({}, c)) for c in ON_CPU}
    assert latency[PTQ] < latency[FLOAT] and latency[BF16] < latency[FLOAT]
    assert latency[QAT] == latency[PACT] == pytest.approx(QAT_SLOWER * latency[PTQ])


def test_a_plan_has_one_timing_and_a_result_per_seed():
    problem, plan = Tabulated(0), Plan.of({}, PTQ)
    assert problem.timing(plan) == problem.timing(plan) != problem.true_latency(plan)
    assert problem.evaluate(plan, 0) == problem.evaluate(plan, 0) != problem.evaluate(plan, 1)


def test_sensitivities_of_a_misled_problem_say_less_of_the_true_losses():
    def error(kind):
        logs = []
        for number in range(6):
            problem = tabulated(f"{kind}-{number}")
            for group, curve in problem.sensitivities().items():
                ratio, measured = curve[2]
                true = problem.true_loss(Plan.of({group: ratio}, FLOAT))
                logs.append(np.log(max(measured, 1e-4) / true))
        return np.std(logs)

    assert error("misled") > 1.4 * error("tabulated")


def test_every_level_of_training_leaves_less_of_a_loss():
    problem = Tabulated(0)
    plan = Plan.of({group.name: 0.5 for group in problem.space.groups}, PTQ)
    losses = [problem.level_loss(plan, level) for level in range(4)]
    assert (np.diff(losses) < 0).all()
    assert losses[-1] == pytest.approx(problem.true_loss(plan))
    # A larger share is left of a larger loss.
    assert (np.diff([after / before for before, after in pairwise(losses)]) < 0).all()
    assert problem.level_loss(Plan(), 0) == 0.0


def test_a_result_is_of_the_last_level_unless_another_is_asked_for():
    problem, plan = Tabulated(0), Plan.of({"conv03.weight": 0.5}, PTQ)
    last, first = problem.evaluate(plan, level=3), problem.evaluate(plan, level=0)
    assert problem.evaluate(plan).metric_loss == last.metric_loss
    assert (last.state, last.fidelity, last.level) == ("COMPLETE", 1.0, 3)
    assert (first.state, first.fidelity, first.level) == ("PAUSED", 1 / 64, 0)
    assert problem.evaluate(plan).metric_loss < problem.evaluate(plan, level=0).metric_loss
    assert problem.evaluate(plan, level=0) == problem.evaluate(plan, level=0)


def test_plans_differ_in_what_a_level_leaves():
    problem = Tabulated(0)
    plans = [Plan.of({"conv03.weight": share / 8}, PTQ) for share in range(1, 7)]
    shares = {problem.level_loss(plan, 3) / problem.level_loss(plan, 2) for plan in plans}
    assert len(shares) == 6 and max(shares) < 1.5 * min(shares) + 0.2
