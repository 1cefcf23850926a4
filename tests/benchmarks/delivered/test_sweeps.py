"""What a compared method tries next."""

import pytest

from benchmarks.delivered.methods.auto_compression import next_ratios
from benchmarks.delivered.methods.threshold import next_thresholds, threshold_plan

CURVES = {"a": [(0.1, 0.0), (0.5, 0.1), (0.9, 0.3)], "b": [(0.1, 0.5), (0.9, 0.6)]}


def test_thresholds_grow_while_all_keep_the_budget():
    assert next_thresholds({}, 0.1, 2) == pytest.approx([0.1, 0.4])
    assert next_thresholds({0.1: True, 0.4: True}, 0.1, 2) == pytest.approx([1.6, 6.4])


def test_thresholds_shrink_while_none_keeps_it():
    assert next_thresholds({0.1: False, 0.4: False}, 0.1, 2) == pytest.approx([0.025, 0.00625])


def test_thresholds_are_bisected_between_kept_and_missed():
    low, high = next_thresholds({0.1: True, 0.8: False, 0.05: False}, 0.1, 2)
    assert (low, high) == pytest.approx((0.2, 0.4))


def test_a_sweep_comes_near_a_limit():
    tried = {}
    for _ in range(5):
        for value in next_thresholds(tried, 0.02, 2):
            tried[value] = value <= 0.3
    best = max(value for value, keeps in tried.items() if keeps)
    assert 0.27 <= best <= 0.3


def test_a_threshold_bounds_each_group_alone():
    plan = threshold_plan(CURVES, 0.2)
    assert plan.ratio("a") == pytest.approx(0.7)
    assert plan.ratio("b") == 0.0
    assert threshold_plan(CURVES, 9.0).ratio("b") == 0.9


def test_ratios_are_bisected():
    assert next_ratios({}, 2) == pytest.approx([0.333, 0.667])
    assert next_ratios({0.333: True, 0.667: True}, 2) == pytest.approx([0.778, 0.889])
    assert next_ratios({0.333: True, 0.667: False}, 2) == pytest.approx([0.444, 0.556], abs=1e-3)
    assert next_ratios({0.333: False, 0.667: False}, 2) == pytest.approx([0.111, 0.222], abs=1e-3)
