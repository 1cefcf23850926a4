import numpy as np
import pytest

from spaces.layers import Layer, LayerCosts, ratio_matrix
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from tests.spaces.networks import residual

FLOAT = QuantizationChoice.FLOAT
GROUPS = (PruningGroup("a", 32), PruningGroup("b", 64))
# 3 -> a: 32 -> b: 64, a depthwise convolution on b, and a head on the concatenation of a and b.
LAYERS = (
    Layer("first", 100, 320, 32, 3, {"a": 1.0}, {}),
    Layer("second", 600, 640, 64, 32, {"b": 1.0}, {"a": 1.0}),
    Layer("depthwise", 50, 640, 64, 1, {"b": 1.0}, {}),
    Layer("head", 250, 400, 10, 96, {}, {"a": 1 / 3, "b": 2 / 3}),
)


@pytest.fixture
def costs():
    return LayerCosts(LAYERS, GROUPS)


def rows(*pairs):
    return np.array(pairs, float).reshape(-1, 2)


def test_a_row_of_ratios_for_every_plan_a_column_for_every_group():
    plans = [Plan.of({"b": 0.25}, FLOAT), Plan.of({}, FLOAT), Plan.of({"b": 0.5, "a": 0.75}, FLOAT)]
    assert ratio_matrix(GROUPS, plans).tolist() == [[0, 0.25], [0, 0], [0.75, 0.5]]


def test_groups_outside_the_list_are_ignored():
    assert ratio_matrix(GROUPS, [Plan.of({"z": 0.5, "a": 0.25}, FLOAT)]).tolist() == [[0.25, 0]]


def test_no_plans_are_a_matrix_too():
    assert ratio_matrix(GROUPS, []).shape == (0, 2)


def test_shares_of_the_whole_model(costs):
    assert costs.compute == pytest.approx([0.1, 0.6, 0.05, 0.25])
    assert costs.traffic == pytest.approx([0.16, 0.32, 0.32, 0.2])
    assert costs.groups == 2


def test_the_share_of_a_layer_between_two_groups_is_the_product_of_theirs(costs):
    work, written = costs.remaining(rows((0, 0), (0.5, 0), (0.5, 0.75)))
    assert work[0] == pytest.approx([1, 1, 1, 1])
    assert work[1] == pytest.approx([0.5, 0.5, 1, 1 - 0.5 / 3])
    assert work[2] == pytest.approx([0.5, 0.5 * 0.25, 0.25, 1 - 0.5 / 3 - 0.75 * 2 / 3])
    # Written values depend on the outputs only.
    assert written[2] == pytest.approx([0.5, 0.25, 0.25, 1])


def test_multiply_adds_of_a_plan(costs):
    expected = 0.1 * 0.5 + 0.6 * 0.5 * 0.25 + 0.05 * 0.25 + 0.25 * (1 - 0.5 / 3 - 0.5)
    assert costs.multiply_adds(rows((0, 0), (0.5, 0.75))) == pytest.approx([1, expected])


def test_channels_count_in_whole_blocks(costs):
    """Of a's 32 channels 24 are as many blocks as 32, 8 as many as 16: that is half of the cost."""
    work, _ = costs.remaining(rows((0.25, 0), (0.5, 0), (0.75, 0)), block=16)
    assert work[:, 0] == pytest.approx([0.875, 0.5, 0.375])
    # 3 input channels are one block, and 10 outputs too.
    whole, _ = costs.remaining(rows((0, 0)), block=16)
    assert whole[0] == pytest.approx([1, 1, 1, 1])


def test_a_ratio_of_six_digits_does_not_cost_a_block_more():
    """A third of 96 channels leaves 64, but the rounded ratio a little more."""
    group = PruningGroup("g", 96)
    costs = LayerCosts([Layer("l", 1, 1, 96, 1, {"g": 1.0}, {})], [group])
    plan = Plan.of({"g": 0.333333}, FLOAT)
    work, _ = costs.remaining(ratio_matrix([group], [plan]), block=16)
    assert work[0, 0] == pytest.approx(4 / 6)


def test_the_layers_that_a_group_shrinks(costs):
    assert costs.layers_of(0).tolist() == [0, 1, 3]
    assert costs.layers_of(1).tolist() == [1, 2, 3]


@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("group", [0, 1])
def test_one_group_at_several_levels_equals_whole_plans(costs, block, group):
    rng = np.random.default_rng(0)
    ratios, levels = rng.uniform(0, 0.9, (5, 2)), np.array([0.0, 0.25, 0.6, 0.875])
    part = costs.layers_of(group)
    work, written = costs.remaining_with(ratios, group, levels, block)
    assert work.shape == written.shape == (5, 4, 3)
    for index, level in enumerate(levels):
        changed = ratios.copy()
        changed[:, group] = level
        whole_work, whole_written = costs.remaining(changed, block)
        assert work[:, index] == pytest.approx(whole_work[:, part])
        assert written[:, index] == pytest.approx(whole_written[:, part])


def test_a_model_without_groups_is_not_pruned():
    costs = LayerCosts(LAYERS, ())
    assert costs.multiply_adds(np.zeros((2, 0))) == pytest.approx([1, 1])


# Two paths of a concatenation: the second, on its own group, is a branch.
PATHS = (
    PruningGroup("one", 32),
    PruningGroup("two", 32, inside=("path",)),
    PruningGroup("path", 1, is_branch=True),
)
PATH_LAYERS = (
    Layer("first", 100, 100, 32, 3, {"one": 1.0}, {}),
    Layer("second", 200, 100, 32, 32, {"two": 1.0}, {"one": 1.0}, ("path",)),
    Layer("head", 300, 50, 10, 64, {}, {"one": 0.5, "two": 0.5, "path": 0.5}),
)


def test_a_layer_in_a_removed_branch_costs_nothing():
    costs = LayerCosts(PATH_LAYERS, PATHS)
    plans = np.array([[0, 0, 0], [0.5, 0.25, 0], [0.5, 0, 1]])
    work, written = costs.remaining(plans)
    assert work[0] == pytest.approx([1, 1, 1])
    assert work[1] == pytest.approx([0.5, 0.375, 1 - 0.25 - 0.125])
    # The concatenation lacks the path.
    assert work[2] == pytest.approx([0.5, 0, 1 - 0.25 - 0.5])
    assert written[2] == pytest.approx([0.5, 0, 1])
    assert costs.present(plans).tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 1]]
    assert costs.multiply_adds(plans[2:]) == pytest.approx([(50 + 300 * 0.25) / 600])


def test_ratios_inside_a_removed_branch_change_nothing():
    costs = LayerCosts(PATH_LAYERS, PATHS)
    plans = np.array([[0.5, 0, 1], [0.5, 0.75, 1]])
    for found in (*costs.remaining(plans, 16), costs.present(plans)):
        assert (found[0] == found[1]).all()


def test_the_layers_that_a_branch_shrinks():
    """Its own, and those that it or a group inside it shrinks."""
    costs = LayerCosts(PATH_LAYERS, PATHS)
    assert costs.layers_of(2).tolist() == [1, 2]
    assert costs.layers_of(1).tolist() == [1, 2]
    assert costs.layers_of(0).tolist() == [0, 1, 2]


@pytest.mark.parametrize("block", [1, 16])
def test_an_item_at_several_levels_equals_whole_plans_also_with_branches_removed(block):
    groups, layers = residual(4, 32, squeeze=True)
    costs = LayerCosts(layers, groups)
    rng = np.random.default_rng(0)
    branches = np.array([group.is_branch for group in groups])
    ratios = np.where(
        branches, rng.integers(0, 2, (8, len(groups))), rng.uniform(0, 0.9, (8, len(groups)))
    )
    everything = np.arange(len(layers))
    for group, item in enumerate(groups):
        levels = np.array([0.0, 1.0] if item.is_branch else [0.0, 0.25, 0.875])
        part = costs.layers_of(group)
        rest = np.setdiff1d(everything, part)
        work, written = costs.remaining_with(ratios, group, levels, block)
        before = costs.remaining(ratios, block)[0][:, rest]
        for index, level in enumerate(levels):
            changed = ratios.copy()
            changed[:, group] = level
            whole_work, whole_written = costs.remaining(changed, block)
            assert work[:, index] == pytest.approx(whole_work[:, part])
            assert written[:, index] == pytest.approx(whole_written[:, part])
            assert whole_work[:, rest] == pytest.approx(before)
