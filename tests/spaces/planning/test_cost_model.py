"""What plans cost: models that are sums over layers."""

import numpy as np
import pytest

from benchmarks.tabulated import Tabulated
from spaces.layers import LayerCosts
from spaces.planning.cost_model import LayerSum, WeightedSum, multiply_adds_model, size_model
from tests.spaces.networks import residual

GROUPS, LAYERS = (lambda made: (made.space.groups, made.layers))(Tabulated(0))
COSTS = LayerCosts(LAYERS, GROUPS)
RATIOS = np.random.default_rng(0).choice([0.0, 0.25, 0.5, 0.75], (20, len(GROUPS)))
KERNELS = np.array([1 if layer.name == "head" else 9 for layer in LAYERS])
WEIGHTS = KERNELS * [layer.out_channels * layer.in_channels for layer in LAYERS]
CHANNELS = np.array([layer.out_channels for layer in LAYERS])
# Bytes that no plan removes.
PROGRAM = 400_000


def stored(ratios, per_weight=4, per_channel=16, constant=PROGRAM):
    """Return the sizes of exports."""
    work, out = COSTS.remaining(ratios)
    return constant + per_weight * (work @ WEIGHTS) + per_channel * (out @ CHANNELS)


WHOLE = int(stored(np.zeros((1, len(GROUPS))))[0])


def test_multiply_adds_are_exact():
    assert multiply_adds_model(COSTS).predict(RATIOS) == pytest.approx(COSTS.multiply_adds(RATIOS))


@pytest.mark.parametrize("block", [1, 16])
def test_one_group_at_several_levels_differs_as_whole_plans_do(block):
    rng = np.random.default_rng(1)
    model = LayerSum(COSTS, rng.uniform(0, 1, 1 + 2 * len(LAYERS)), block)
    both = WeightedSum(model, [multiply_adds_model(COSTS)], 2.0)
    levels = np.array([0.0, 0.25, 0.5])
    for cost in (model, both):
        found = cost.at_levels(RATIOS, 3, levels)
        for column, level in enumerate(levels):
            moved = RATIOS.copy()
            moved[:, 3] = level
            alone = cost.predict(moved) - found[:, column]
            assert alone == pytest.approx(cost.predict(_at(RATIOS, 3, 0.0)) - found[:, 0])


def _at(ratios, group, level):
    moved = ratios.copy()
    moved[:, group] = level
    return moved


def test_the_size_of_a_float_export_is_predicted_before_any_trial():
    model = size_model(COSTS, WHOLE, False, np.zeros((0, len(GROUPS))), np.zeros(0))
    assert model.predict(RATIOS) == pytest.approx(stored(RATIOS) / WHOLE, rel=1e-6)


def test_the_size_of_an_int8_export_is_corrected_by_trials():
    """Its program has quantize operators, and a scale may take other bytes than expected."""
    true = stored(RATIOS, 1, 30, 1.5 * PROGRAM) / WHOLE
    first = size_model(COSTS, WHOLE, True, RATIOS[:0], true[:0]).predict(RATIOS)
    later = size_model(COSTS, WHOLE, True, RATIOS[:3], true[:3]).predict(RATIOS)
    assert np.abs(first / true - 1).max() < 0.3
    assert np.abs(later / true - 1).max() < 0.02


def test_the_error_of_a_size_is_honest_before_trials_and_small_after():
    true = stored(RATIOS, 1, 30, 1.5 * PROGRAM) / WHOLE
    first = size_model(COSTS, WHOLE, True, RATIOS[:0], true[:0])
    later = size_model(COSTS, WHOLE, True, RATIOS[:3], true[:3])
    for model in (first, later):
        assert (np.abs(model.predict(RATIOS) - true) < 3 * model.errors(RATIOS)).all()
    assert (later.errors(RATIOS) < 0.02 * true).all()
    assert (first.errors(RATIOS) > 2 * later.errors(RATIOS)).all()


def test_a_removed_branch_costs_no_bytes_and_no_multiply_adds():
    groups, layers = residual(4, 32, squeeze=True)
    costs = LayerCosts(layers, groups)
    whole = 4 * sum(layer.out_channels * layer.in_channels * 9 for layer in layers)
    model = size_model(costs, whole, False, np.zeros((0, len(groups))), np.zeros(0))
    plans = np.zeros((2, len(groups)))
    plans[1] = [float(group.name == "block0") for group in groups]
    gone = [i for i, layer in enumerate(layers) if "block0" in layer.branches]
    weights = [layer.multiply_adds / (layer.values / layer.out_channels) for layer in layers]
    bytes_ = sum(4 * weights[i] + 16 * layers[i].out_channels for i in gone)
    assert len(gone) == 4
    assert -np.diff(model.predict(plans)) * whole == pytest.approx(bytes_, rel=1e-6)
    assert -np.diff(multiply_adds_model(costs).predict(plans)) == pytest.approx(
        costs.compute[gone].sum()
    )
