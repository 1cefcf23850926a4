import pytest

from spaces.goal import Goal


@pytest.mark.parametrize(
    "objective, cost", [("latency", 0.5), ("size", 0.3), ("multiply_adds", 0.2)]
)
def test_the_cost_is_the_ratio_that_is_minimized(objective, cost):
    assert Goal(objective).cost(0.5, 0.3, 0.2) == cost
    assert Goal(objective).cost(None, None, None) == float("inf")


@pytest.mark.parametrize(
    "latency, size, exceeded",
    [
        (0.5, 0.2, None),
        (0.51, 0.2, "latency"),
        (0.5, 0.21, "size"),
        (0.9, 0.9, "latency"),
        (None, None, None),
        (None, 0.3, "size"),
    ],
)
def test_bounds_hold_for_what_was_measured(latency, size, exceeded):
    goal = Goal("latency", max_latency=0.5, max_size=0.2)
    assert goal.exceeded(latency, size) == exceeded
    assert goal.bounds() == {"latency": 0.5, "size": 0.2}
    assert Goal().exceeded(latency, size) is None and Goal().bounds() == {}
