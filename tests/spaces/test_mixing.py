from dataclasses import replace

import pytest

from spaces.mixing import Int8Costs, LayerCost, fewest, put_back_order
from spaces.plan import MixedInt8


def cost(layer, damage, ratio):
    return LayerCost(layer, metric_loss=0.0, damage=damage, latency_ratio=ratio)


def test_layers_with_much_damage_for_little_time_come_first():
    costs = [
        cost("slow", 0.4, 1.4),
        cost("harmless", -1e-4, 1.0),
        cost("harmful", 0.4, 1.1),
        # In float the model is as fast.
        cost("free", 0.1, 0.98),
        cost("helpful", -0.2, 0.9),
    ]
    assert put_back_order(costs) == ("free", "harmful", "slow", "harmless", "helpful")


def test_layers_that_were_not_measured_are_not_put_back():
    assert put_back_order([LayerCost("a", None, None, None, "fails"), cost("b", 0.1, 1)]) == ("b",)


@pytest.mark.parametrize("most", range(1, 20))
def test_the_fewest_that_hold_are_found_in_few_tries(most):
    for least in range(1, most + 2):
        tried = []

        def holds(count, tried=tried, least=least):
            tried.append(count)
            return count >= least

        assert fewest(holds, most) == (least if least <= most else None)
        assert len(tried) == len(set(tried)) <= 2 * most.bit_length() + 1
        assert max(tried) <= most


COSTS = Int8Costs(
    metric_loss=0.08,
    damage=0.1,
    latency_ratio=0.3,
    layers=(
        cost("a", 0.06, 1.1),
        cost("b", 0.03, 1.2),
        cost("c", -0.01, 1.1),
        cost("d", 0.01, 1.1),
        LayerCost("e", None, None, None, "fails"),
    ),
)
ONE, TWO = MixedInt8(("a",)), MixedInt8(("a", "b"))


def test_mixtures_are_nested_and_have_few_layers_in_float():
    assert COSTS.mixtures(fastest=1.0) == (ONE, TWO)
    many = replace(COSTS, layers=tuple(cost(str(i), 0.1 / (i + 1), 1.1) for i in range(40)))
    assert [len(mixed.float_layers) for mixed in many.mixtures(10.0)] == [1, 2, 4, 8]
    assert [one.value for one in COSTS.mixtures(1.0)] == ["int8_ptq+1", "int8_ptq+2"]


def test_a_mixture_that_another_precision_beats_is_none():
    # It takes 0.33 of the float model's time.
    assert COSTS.mixtures(fastest=0.34) == (ONE,)
    assert COSTS.mixtures(fastest=0.33) == ()


def test_with_all_of_its_layers_in_float_it_would_be_no_mixture():
    assert Int8Costs(0.5, 0.1, 0.3, (cost("a", 0.1, 1.1),)).mixtures(1.0) == ()
    assert Int8Costs(0.5, 0.1, 0.3).mixtures(1.0) == ()


def test_what_is_lost_and_what_it_costs_add_up_over_layers():
    assert COSTS.loss_left(TWO) == pytest.approx(0.1)
    assert COSTS.loss_left(MixedInt8(("c",))) == 1
    # Both undo the damage of a sum behind them.
    assert COSTS.loss_left(MixedInt8(("a", "b", "d"))) == pytest.approx(0)
    assert replace(COSTS, damage=0.05).loss_left(TWO) == 0
    assert COSTS.added(TWO) == pytest.approx(0.3 * 0.3)
    assert COSTS.added_in("unknown") == COSTS.added_in("e") == 0
