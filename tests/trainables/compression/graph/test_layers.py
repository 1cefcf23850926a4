"""The layers of small networks: their costs, and the groups that narrow them."""

import pytest

from spaces.layers import LayerCosts, ratio_matrix
from spaces.plan import Plan, QuantizationChoice
from tests.trainables.compression.networks import (
    IMAGE,
    Attention,
    Chain,
    Concat,
    Depthwise,
    Flattened,
    Grouped,
    OwnLayers,
    Residual,
    Sequence,
    Shared,
    Transposed,
)
from trainables.compression.graph.dependency import find_dependencies
from trainables.compression.graph.groups import survey_groups
from trainables.compression.pruner import ChannelPruner

PLACES = 16 * 16
NETWORKS = (
    *(Attention, Chain, Concat, Depthwise, Flattened, Grouped, OwnLayers, Residual, Sequence),
    Transposed,
)


def traced(network):
    return {layer.name: layer for layer in survey_groups(network, IMAGE).layers}


def sizes(layer):
    return (layer.multiply_adds, layer.values, layer.out_channels, layer.in_channels)


def test_a_convolution_applies_its_weight_at_every_place_of_its_output():
    layers = traced(Chain)
    assert list(layers) == ["first", "last", "head"]
    assert sizes(layers["first"]) == (PLACES * 9 * 3 * 8, PLACES * 8, 8, 3)
    # Its stride leaves a quarter of the places.
    assert sizes(layers["last"]) == (PLACES // 4 * 9 * 8 * 6, PLACES // 4 * 6, 6, 8)
    assert sizes(layers["head"]) == (6 * 4, 4, 4, 6)


def test_a_group_is_the_output_of_its_layer_and_the_input_of_the_next():
    layers = traced(Chain)
    sides = {name: (dict(layer.outputs), dict(layer.inputs)) for name, layer in layers.items()}
    assert sides == {
        "first": ({"first.weight": 1.0}, {}),
        "last": ({"last.weight": 1.0}, {"first.weight": 1.0}),
        "head": ({}, {"last.weight": 1.0}),
    }


def test_a_depthwise_convolution_is_narrowed_by_its_outputs_alone():
    """It always has one input channel, so the remaining cost is not squared."""
    layers = traced(Depthwise)
    assert sizes(layers["depthwise"]) == (PLACES * 9 * 8, PLACES * 8, 8, 1)
    assert layers["depthwise"].inputs == {}
    assert len(layers["depthwise"].outputs) == 1
    assert set(layers["depthwise"].outputs.values()) == {1.0}
    assert layers["last"].inputs == layers["depthwise"].outputs


def test_a_grouped_convolution_sees_a_part_of_the_inputs():
    layers = traced(Grouped)
    assert sizes(layers["grouped"]) == (PLACES * 9 * 4 * 12, PLACES * 12, 12, 4)


def test_a_transposed_convolution_applies_its_weight_at_every_place_of_its_input():
    layers = traced(Transposed)
    assert sizes(layers["up"]) == (PLACES * 4 * 8 * 12, 4 * PLACES * 12, 12, 8)
    assert layers["up"].inputs.get("first.weight") == 1.0
    assert sizes(layers["last"]) == (4 * PLACES * 9 * 12 * 6, 4 * PLACES * 6, 6, 12)


def test_a_linear_layer_behind_a_flatten_loses_all_places_of_a_channel():
    layers = traced(Flattened)
    assert sizes(layers["hidden"]) == (128 * 10, 10, 10, 128)
    assert layers["hidden"].inputs == {"first.weight": pytest.approx(1.0)}
    assert layers["hidden"].outputs == layers["head"].inputs == {"hidden.weight": 1.0}
    assert sizes(layers["head"]) == (40, 4, 4, 10)


def test_behind_a_concatenation_each_group_has_its_share():
    layers = traced(Concat)
    assert layers["last"].in_channels == 12
    assert layers["last"].inputs == {
        "left.weight": pytest.approx(4 / 12),
        "right.weight": pytest.approx(8 / 12),
        # The other path stays: one has to.
        "right": pytest.approx(8 / 12),
    }
    assert layers["left"].outputs == {"left.weight": 1.0}
    assert layers["right"].outputs == {"right.weight": 1.0}
    assert layers["last"].outputs == layers["head"].inputs == {"last.weight": 1.0}
    assert layers["left"].inputs == {}


def test_a_residual_connection_narrows_all_its_layers():
    layers = traced(Residual)
    sides = {name: (dict(layer.outputs), dict(layer.inputs)) for name, layer in layers.items()}
    assert sides == {
        "first": ({"first.weight": 1.0}, {}),
        "inner": ({"inner.weight": 1.0}, {"first.weight": 1.0}),
        "outer": ({"first.weight": 1.0}, {"inner.weight": 1.0}),
        "head": ({}, {"first.weight": 1.0}),
    }


def test_a_layer_that_is_applied_twice_counts_at_both_places():
    model = Shared()
    model.eval()
    layers = {layer.name: layer for layer in find_dependencies(model, IMAGE).layers}
    places = PLACES + PLACES // 4
    assert sizes(layers["shared"]) == (places * 9 * 8 * 8, places * 8, 8, 8)


@pytest.mark.parametrize("network", NETWORKS)
def test_predicted_costs_are_the_pruned_models(network):
    """Counted on the pruned network itself, each group alone."""
    survey = survey_groups(network, IMAGE)
    assert survey.groups
    items = survey.groups + survey.branches
    costs = LayerCosts(survey.layers, items)
    total = sum(layer.multiply_adds for layer in survey.layers)
    for item in items:
        model = network()
        model.eval()
        pruner = ChannelPruner(model, IMAGE)
        ratio = 1.0 if item.is_branch else 0.5
        pruner.prune({item.name: ratio})
        if not item.is_branch:
            ratio = 1 - pruner.width(item.name) / item.channels
        counted = sum(layer.multiply_adds for layer in find_dependencies(model, IMAGE).layers)
        plan = Plan.of({item.name: ratio}, QuantizationChoice.FLOAT)
        predicted = costs.multiply_adds(ratio_matrix(items, [plan]))[0]
        assert counted < total
        assert predicted == pytest.approx(counted / total, abs=1e-5)


def test_layers_name_only_verified_groups():
    for network in NETWORKS:
        survey = survey_groups(network, IMAGE)
        found = {group.name for group in survey.groups}
        concatenated = {b.name for b in survey.branches} & {
            name for layer in survey.layers for name in layer.inputs
        }
        named = {name for layer in survey.layers for name in (*layer.outputs, *layer.inputs)}
        assert named == found | concatenated


def test_a_users_own_layers_are_counted_like_paddles():
    """Their weights are computed, in another slot of an operator, or transposed."""
    layers = traced(OwnLayers)
    assert {name: sizes(layer) for name, layer in layers.items()} == {
        "first.kernel": (PLACES * 9 * 3 * 8, PLACES * 8, 8, 3),
        "second.kernel": (PLACES * 9 * 8 * 6, PLACES * 6, 6, 8),
        "up": (PLACES * 4 * 6 * 12, 4 * PLACES * 12, 12, 6),
        "hidden": (12 * 10, 10, 10, 12),
        "out": (10 * 4, 4, 4, 10),
    }
    sides = {name: (dict(layer.outputs), dict(layer.inputs)) for name, layer in layers.items()}
    assert sides == {
        "first.kernel": ({"first.kernel": 1.0}, {}),
        "second.kernel": ({"second.kernel": 1.0}, {"first.kernel": 1.0}),
        "up": ({"up": 1.0}, {"second.kernel": 1.0}),
        "hidden": ({"hidden": 1.0}, {"up": 1.0}),
        "out": ({}, {"hidden": 1.0}),
    }
