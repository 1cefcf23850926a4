from itertools import product
from random import Random

import pytest

from spaces.plan import MixedInt8, Plan, PruningGroup, QuantizationChoice
from spaces.space import (
    CategoricalParameter,
    IntegerParameter,
    Space,
    thinned,
)

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ


def one_group(channels, alignment=8, max_ratio=0.9):
    group = PruningGroup("g", channels)
    return Space((group,), (FLOAT,), alignment, max_ratio), group


def plans_of(space):
    """Every plan of a space, made from its parameters alone."""
    values = []
    for name, parameter in space.parameters().items():
        if isinstance(parameter, CategoricalParameter):
            values.append([(name, choice) for choice in parameter.choices])
        else:
            steps = range(parameter.low, parameter.high + 1, parameter.step)
            values.append([(name, step) for step in steps])
    return [space.decode(dict(flat)) for flat in product(*values)]


def test_the_flat_parameters_are_remaining_channels_and_the_quantization():
    space = Space((PruningGroup("a", 64), PruningGroup("b", 20)), (FLOAT, PTQ))
    assert space.parameters() == {
        "channels/a": IntegerParameter(8, 64, 8),
        "channels/b": IntegerParameter(8, 24, 8),
        "quantization": CategoricalParameter(("float", "int8_ptq")),
    }


@pytest.mark.parametrize(
    ("channels", "alignment", "max_ratio", "levels"),
    [
        (32, 8, 0.9, [8, 16, 24, 32]),
        # The last level is all channels, aligned or not.
        (20, 8, 0.9, [8, 16, 20]),
        # At most half is removed: 16 of 32 remain, and 16 rather than 8 of 20.
        (32, 8, 0.5, [16, 24, 32]),
        (20, 8, 0.5, [16, 20]),
        # 0.7 of 80 leaves 24 exactly, though 80 * (1 - 0.7) is a little more.
        (80, 8, 0.7, [24, 32, 40, 48, 56, 64, 72, 80]),
        (81, 8, 0.7, [32, 40, 48, 56, 64, 72, 80, 81]),
        # Groups narrower than a step cannot be pruned.
        (8, 8, 0.9, [8]),
        (5, 8, 0.9, [5]),
        (4, 1, 0.9, [1, 2, 3, 4]),
    ],
)
def test_levels(channels, alignment, max_ratio, levels):
    space, group = one_group(channels, alignment, max_ratio)
    assert space.levels(group) == levels


def test_every_plan_keeps_its_alignment_and_the_greatest_ratio():
    space = Space((PruningGroup("a", 36), PruningGroup("b", 24)), (FLOAT, PTQ), 8, 0.7)
    plans = plans_of(space)
    assert len(set(plans)) == len(plans) == 4 * 3 * 2
    for plan in plans:
        for group in space.groups:
            kept = round(group.channels * (1 - plan.ratio(group.name)))
            assert kept % 8 == 0 or kept == group.channels
            assert plan.ratio(group.name) <= 0.7


def test_decode_of_encode_is_the_plan():
    space = Space((PruningGroup("a", 36), PruningGroup("b", 7), PruningGroup("c", 64)))
    for plan in plans_of(space):
        assert space.decode(space.encode(plan)) == plan


def unstable_levels(channels, alignment):
    space, group = one_group(channels, alignment)
    plans = [Plan.of({"g": 1 - kept / channels}, FLOAT) for kept in space.levels(group)]
    return [plan for plan in plans if space.snap(plan) != plan]


@pytest.mark.parametrize(("channels", "alignment"), [(64, 1), (512, 8), (768, 8), (1000, 16)])
def test_decode_of_encode_is_the_plan_in_layers_of_usual_width(channels, alignment):
    assert unstable_levels(channels, alignment) == []


@pytest.mark.parametrize(("channels", "alignment"), [(128, 1), (1024, 8), (2048, 8)])
def test_decode_of_encode_is_the_plan_in_wide_layers(channels, alignment):
    assert unstable_levels(channels, alignment) == []


def test_a_plan_between_two_levels_goes_to_the_wider_one():
    space, _ = one_group(32)
    assert space.encode(Plan.of({"g": 0.49}, FLOAT))["channels/g"] == 24
    assert space.encode(Plan.of({"g": 0.5}, FLOAT))["channels/g"] == 16
    assert space.encode(Plan.of({"g": 0.51}, FLOAT))["channels/g"] == 16


def test_a_plan_beyond_the_space_goes_to_its_edge():
    space, _ = one_group(32, max_ratio=0.5)
    assert space.snap(Plan.of({"g": 0.9}, FLOAT)) == Plan.of({"g": 0.5}, FLOAT)


def test_snap_drops_groups_that_are_not_in_the_space():
    space, _ = one_group(32)
    assert space.snap(Plan.of({"g": 0.5, "other": 0.5}, FLOAT)) == Plan.of({"g": 0.5}, FLOAT)


def test_thinned_keeps_the_ends_and_spreads_the_rest():
    levels = list(range(10, 101, 10))
    assert thinned(levels, 4) == [10, 40, 70, 100]
    assert thinned(levels, 2) == [10, 100]
    assert thinned(levels, 10) == levels
    assert thinned([8], 6) == [8]
    assert thinned([], 6) == []


@pytest.mark.parametrize("count", range(2, 12))
def test_thinned_never_gives_more_than_asked_for(count):
    for length in range(1, 30):
        levels = list(range(length))
        chosen = thinned(levels, count)
        assert len(chosen) == min(count, length)
        assert chosen[0] == 0
        assert chosen[-1] == levels[-1]
        assert chosen == sorted(set(chosen))


def test_a_plan_is_the_floor_if_every_group_has_its_fewest_channels():
    space = Space((PruningGroup("a", 64), PruningGroup("b", 20)), (FLOAT, PTQ))
    floor = space.decode({"channels/a": 8, "channels/b": 8, "quantization": "float"})
    assert space.is_floor(floor) and space.floor(FLOAT) == floor
    assert space.floor(PTQ).quantization is PTQ and space.is_floor(space.floor(PTQ))
    assert not space.is_floor(Plan.of({"a": 0.875}, FLOAT))
    assert not space.is_floor(Plan())


# A gate inside a block's branch, each with a group, and a group on the trunk.
NESTED = Space(
    (
        PruningGroup("block", 1, is_branch=True),
        PruningGroup("gate", 1, inside=("block",), is_branch=True),
        PruningGroup("hidden", 16, inside=("block", "gate")),
        PruningGroup("inner", 16, inside=("block",)),
        PruningGroup("trunk", 24),
    ),
    (FLOAT, PTQ),
)


def test_a_branch_has_1_channel_or_0():
    parameters = NESTED.parameters()
    assert parameters["channels/block"] == IntegerParameter(0, 1, 1)
    assert NESTED.levels(NESTED.groups[0]) == [0, 1]


def test_what_lies_in_a_removed_branch_counts_as_unpruned():
    flat = {
        "channels/block": 0,
        "channels/gate": 0,
        "channels/hidden": 8,
        "channels/inner": 8,
        "channels/trunk": 16,
        "quantization": "float",
    }
    plan = NESTED.decode(flat)
    assert plan.ratios == (("block", 1.0), ("trunk", 0.333333))
    assert NESTED.encode(plan) == {
        **flat,
        "channels/gate": 1,
        "channels/hidden": 16,
        "channels/inner": 16,
    }
    gate = NESTED.decode({**flat, "channels/block": 1})
    assert dict(gate.ratios) == {"gate": 1.0, "inner": 0.5, "trunk": 0.333333}


def test_equal_models_have_one_plan_and_it_comes_back_from_its_parameters():
    plans = set(plans_of(NESTED))
    # Without the block 3 trunks; with it 2 inner widths, and 2 hidden ones or no gate.
    assert len(plans) == 2 * 3 * (1 + 2 * (2 + 1))
    assert all(NESTED.decode(NESTED.encode(plan)) == plan for plan in plans)
    within = Plan.of({"block": 1.0, "inner": 0.5, "hidden": 0.5, "gate": 1.0}, FLOAT)
    assert NESTED.snap(within) == Plan.of({"block": 1.0}, FLOAT)


def test_a_branch_is_removed_whole_or_not_at_all_and_a_group_never():
    assert NESTED.snap(Plan.of({"block": 0.5}, FLOAT)) == Plan.of({}, FLOAT)
    with pytest.raises(ValueError, match="ratio 1 of trunk: only a branch"):
        NESTED.snap(Plan.of({"trunk": 1.0}, FLOAT))


def test_the_floor_has_no_branches():
    floor = NESTED.floor(PTQ)
    assert dict(floor.ratios) == {"block": 1.0, "trunk": 0.666667}
    assert NESTED.is_floor(floor) and NESTED.snap(floor) == floor
    narrow = Plan.of({"gate": 1.0, "inner": 0.5, "trunk": 0.666667}, PTQ)
    assert not NESTED.is_floor(narrow)
    assert not NESTED.is_floor(Plan.of({"block": 1.0}, PTQ))


def test_random_plans_remove_no_branch_as_often_as_many():
    groups = tuple(PruningGroup(f"b{i}", 1, is_branch=True) for i in range(8))
    space = Space((*groups, PruningGroup("a", 64)), (FLOAT,))
    plans = [space.random(Random(seed)) for seed in range(400)]
    removed = [sum(ratio == 1.0 for _, ratio in plan.ratios) for plan in plans]
    assert 1.5 < sum(removed) / len(removed) < 2.5
    assert removed.count(0) > 60
    assert sum(count >= 4 for count in removed) > 40
    assert all(NESTED.snap(p) == p for p in (NESTED.random(Random(seed)) for seed in range(50)))


def test_a_mixture_is_one_more_precision():
    mixed = MixedInt8(("a", "b"))
    space = Space((PruningGroup("g", 64),), (FLOAT, PTQ), mixed=(mixed,))
    assert space.parameters()["quantization"].choices[-1] == "int8_ptq+2"
    plan = space.snap(Plan.of({"g": 0.5}, mixed))
    assert plan.float_layers == ("a", "b") and plan.precisions == mixed
    assert space.decode(space.encode(plan)) == plan
    drawn = [space.random(Random(seed)).precisions for seed in range(60)]
    assert set(drawn) == {*space.choices, mixed}


def test_snapping_leaves_the_precisions_of_a_plan_that_are_not_of_the_space():
    plan = Plan.of({"g": 0.5}, PTQ, ["stem"])
    assert Space((PruningGroup("g", 64),), (FLOAT,)).snap(plan) == plan
