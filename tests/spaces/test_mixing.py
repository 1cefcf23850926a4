import pytest

from spaces.mixing import LayerCost, fewest, put_back_order


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
