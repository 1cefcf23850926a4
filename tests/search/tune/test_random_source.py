"""Plans drawn at random, and narrowed until they keep the bounds."""

from random import Random

import pytest

from search.tune.plan_source import RandomSource
from spaces.plan import PruningGroup, QuantizationChoice
from spaces.space import Space

FLOAT = QuantizationChoice.FLOAT
SPACE = Space(
    (
        PruningGroup("block", 1, is_branch=True),
        PruningGroup("inner", 64, inside=("block",)),
        PruningGroup("other", 64),
        PruningGroup("last", 1, is_branch=True),
    ),
    (FLOAT,),
)


def left(plan):
    """Return the channels that a plan leaves, those of a removed branch not counted."""
    inner = 0 if plan.ratio("block") == 1.0 else 64 * (1 - plan.ratio("inner"))
    return round(inner + 64 * (1 - plan.ratio("other")) + 8 * (1 - plan.ratio("last")))


def exceeded_by(bound):
    return lambda plan: {"size": left(plan) - bound} if left(plan) > bound else {}


@pytest.mark.parametrize("bound", [48, 24, 16, 8])
def test_plans_are_narrowed_to_the_bound_branches_last(bound):
    source = RandomSource(SPACE, exceeded_by(bound))
    plans = [source.propose(0, lambda plan: False, Random(seed)).plan for seed in range(60)]
    assert all(left(plan) <= bound and SPACE.snap(plan) == plan for plan in plans)
    drawn = [SPACE.random(Random(seed)) for seed in range(60)]
    removed = [
        (plan.ratio("block"), start.ratio("block"))
        for plan, start in zip(plans, drawn, strict=True)
    ]
    # The narrowest groups of both blocks leave 24 channels: up to there no branch has to go.
    if bound >= 24:
        assert all(after == before for after, before in removed)
    else:
        assert any(after > before for after, before in removed)


def test_what_no_plan_keeps_is_not_proposed():
    source = RandomSource(SPACE, exceeded_by(7))
    assert source.propose(0, lambda plan: False, Random(0)) is None
