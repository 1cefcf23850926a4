from random import Random

import pytest

from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.planning.encoding import Known, LayerEncoding
from spaces.space import Space

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
SPACE = Space((PruningGroup("a", 32), PruningGroup("b", 24)), (FLOAT, PTQ))
PLANS = [
    Plan.of({"a": a / 4, "b": b / 3}, choice)
    for a in range(4)
    for b in range(3)
    for choice in (FLOAT, PTQ)
]


def test_the_numbers_are_those_of_the_whole_space():
    assert LayerEncoding(SPACE).parameters() == SPACE.parameters()


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_comes_back_from_its_numbers(plan):
    encoding = LayerEncoding(SPACE)
    flat = encoding.encode(plan)
    assert set(flat) == set(encoding.parameters())
    assert encoding.decode(flat) == plan


def test_what_is_learnt_changes_nothing_and_all_is_left_to_the_sampler():
    encoding = LayerEncoding(SPACE)
    before = [encoding.encode(plan) for plan in PLANS]
    encoding.learn([Known(plan, 0.01, 0.5) for plan in PLANS])
    assert [encoding.encode(plan) for plan in PLANS] == before
    assert {encoding.propose(turn, lambda plan: False, Random(0)) for turn in range(6)} == {None}
