from itertools import product

import numpy as np
import pytest

from spaces.layers import LayerCosts
from spaces.planning.knapsack import knapsack_front
from spaces.planning.latency_model import LatencyModel
from spaces.planning.refining import refined
from tests.spaces.networks import apart, chain, residual

PRICES = np.geomspace(0.01, 100.0, 25)
UNCOUPLED = apart([64, 128, 96])
COUPLED = chain(3, 64)


def problem(network, seed):
    """Return the latency model, levels and losses of a network, uneven at random."""
    groups, layers = network
    rng = np.random.default_rng(seed)
    coefficients = rng.lognormal(-2, 1, 1 + 2 * len(layers))
    levels = [np.arange(0, 4) * 16 / group.channels for group in groups]
    losses = [np.cumsum([0, *rng.uniform(0, 0.1, 3)]) for _ in groups]
    return LatencyModel(LayerCosts(layers, groups), coefficients), levels, losses


def loss_of(levels, losses, ratios):
    """Return the summed losses of plans whose ratios are levels."""
    indices = [np.abs(level[None] - ratios[:, [g]]).argmin(1) for g, level in enumerate(levels)]
    return sum(loss[index] for loss, index in zip(losses, indices, strict=True))


def brute_force(latency, levels, losses, prices):
    """Return the least Lagrangian of all plans for every price."""
    ratios = np.array(list(product(*levels)))
    spent = latency.predict(ratios) + np.outer(prices, loss_of(levels, losses, ratios))
    return spent.min(axis=1)


def lagrangian(latency, levels, losses, ratios, prices):
    return latency.predict(ratios) + prices * loss_of(levels, losses, ratios)


@pytest.mark.parametrize("seed", range(10))
def test_layers_apart_are_pruned_at_the_optimum(seed):
    latency, levels, losses = problem(UNCOUPLED, seed)
    ratios = knapsack_front(latency, levels, losses, PRICES)
    assert ratios.shape == (len(PRICES), 3)
    found = lagrangian(latency, levels, losses, ratios, PRICES)
    assert found == pytest.approx(brute_force(latency, levels, losses, PRICES), rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_every_ratio_is_a_level_of_its_group(seed):
    latency, levels, losses = problem(COUPLED, seed)
    ratios = knapsack_front(latency, levels, losses, PRICES)
    for group, level in enumerate(levels):
        assert set(ratios[:, group]) <= set(level)


@pytest.mark.parametrize("seed", range(10))
def test_coupled_layers_are_never_worse_than_either_end(seed):
    latency, levels, losses = problem(COUPLED, seed)
    ratios = knapsack_front(latency, levels, losses, PRICES)
    found = lagrangian(latency, levels, losses, ratios, PRICES)
    for end in (0, -1):
        plan = np.array([[level[end] for level in levels]]).repeat(len(PRICES), axis=0)
        assert (found <= lagrangian(latency, levels, losses, plan, PRICES) + 1e-12).all()


def test_coupled_layers_are_near_the_optimum_and_mostly_at_it():
    excess = []
    for seed in range(20):
        latency, levels, losses = problem(COUPLED, seed)
        ratios = knapsack_front(latency, levels, losses, PRICES)
        found = lagrangian(latency, levels, losses, ratios, PRICES)
        best = brute_force(latency, levels, losses, PRICES)
        assert (found >= best - 1e-12).all()
        excess += list(found / best - 1)
    assert np.mean(np.array(excess) < 1e-9) > 0.9
    assert max(excess) < 0.1


@pytest.mark.parametrize("network", [UNCOUPLED, COUPLED])
def test_a_higher_price_of_loss_gives_less_loss_and_a_slower_plan(network):
    latency, levels, losses = problem(network, 0)
    ratios = knapsack_front(latency, levels, losses, PRICES)
    lost = loss_of(levels, losses, ratios)
    assert (np.diff(lost) <= 1e-12).all()
    assert (np.diff(latency.predict(ratios)) >= -1e-12).all()
    # From one end of the front to the other.
    assert (ratios[0] == [level[-1] for level in levels]).all()
    assert (ratios[-1] == 0).all()


def test_what_loses_more_than_it_saves_is_not_pruned():
    latency, _, _ = problem(UNCOUPLED, 0)
    levels = [np.array([0.0, 8 / group.channels]) for group in UNCOUPLED[0]]
    losses = [np.array([0.0, 100.0])] * 3
    assert (knapsack_front(latency, levels, losses, PRICES) == 0).all()


def test_a_group_with_one_level_stays_whole():
    latency, levels, losses = problem(COUPLED, 0)
    levels[1], losses[1] = np.zeros(1), np.zeros(1)
    ratios = knapsack_front(latency, levels, losses, PRICES)
    assert (ratios[:, 1] == 0).all()
    assert (ratios[0, [0, 2]] > 0).all()


def fastest(latency, levels, losses, limit):
    """Return the least latency of all plans within a limit."""
    ratios = np.array(list(product(*levels)))
    return latency.predict(ratios)[loss_of(levels, losses, ratios) <= limit + 1e-12].min()


@pytest.mark.parametrize("network", [UNCOUPLED, COUPLED])
def test_refining_uses_what_a_corner_leaves_of_the_limit(network):
    """Prices find only the corners of the trade-off; steps from there use most of the rest."""
    at_corner, after = [], []
    for seed in range(10):
        latency, levels, losses = problem(network, seed)
        front = knapsack_front(latency, levels, losses, PRICES)
        lost = loss_of(levels, losses, front)
        for limit in np.linspace(0.02, 0.5, 15):
            within = front[lost <= limit]
            corner = within[np.argmin(latency.predict(within))]
            ratios = refined(latency, levels, losses, corner, limit)
            assert loss_of(levels, losses, ratios[None])[0] <= limit + 1e-12
            best = fastest(latency, levels, losses, limit)
            at_corner.append(latency.predict(corner[None])[0] / best)
            after.append(latency.predict(ratios[None])[0] / best)
    assert (np.array(after) <= np.array(at_corner) + 1e-12).all()
    assert np.mean(after) - 1 < 0.2 * (np.mean(at_corner) - 1)
    assert np.mean(np.array(after) < 1 + 1e-9) > 0.8


def test_a_start_beyond_the_limit_stays_as_it_is():
    latency, levels, losses = problem(COUPLED, 0)
    start = np.array([level[-1] for level in levels])
    assert (refined(latency, levels, losses, start, 0.0) == start).all()


def test_where_nothing_can_move_nothing_does():
    latency, levels, losses = problem(COUPLED, 0)
    levels, losses = [np.zeros(1)] * 3, [np.zeros(1)] * 3
    assert (refined(latency, levels, losses, np.zeros(3), 1.0) == 0).all()


# With branches

NESTED = {"two": residual(2, 32), "three": residual(3, 32), "gated": residual(2, 32, squeeze=True)}
each_nested = pytest.mark.parametrize("network", NESTED)


def nested_problem(network, seed):
    """Return the latency model with constants of layers, levels, losses and nesting."""
    groups, layers = NESTED[network]
    rng = np.random.default_rng(seed)
    coefficients = rng.lognormal(-2, 1, 1 + 2 * len(layers))
    operators = rng.lognormal(-2, 1, len(layers))
    levels = [np.arange(2.0) if group.is_branch else np.arange(3) * 0.375 for group in groups]
    losses = [
        np.array([0.0, rng.uniform(0.02, 0.3)])
        if group.is_branch
        else np.cumsum([0, *rng.uniform(0, 0.1, 2)])
        for group in groups
    ]
    costs = LayerCosts(layers, groups)
    latency = LatencyModel(costs, coefficients, operators=operators)
    return latency, levels, losses, costs.nesting


def nested_loss(levels, losses, ratios, nesting):
    """Return the summed losses of what is left."""
    return loss_of(levels, losses, nesting.canonical(ratios))


def every_plan(latency, levels, losses, nesting):
    """Return the costs and losses of every plan."""
    ratios = np.unique(nesting.canonical(np.array(list(product(*levels)))), axis=0)
    return latency.predict(ratios), nested_loss(levels, losses, ratios, nesting)


@each_nested
def test_branches_and_the_groups_inside_them_are_chosen_together(network):
    """A removed branch comes back, with its groups pruned, where that is best."""
    excess, removed = [], []
    for seed in range(12):
        latency, levels, losses, nesting = nested_problem(network, seed)
        costs, lost = every_plan(latency, levels, losses, nesting)
        best = (costs + np.outer(PRICES, lost)).min(axis=1)
        ratios = knapsack_front(latency, levels, losses, PRICES, nesting=nesting)
        found = latency.predict(ratios) + PRICES * nested_loss(levels, losses, ratios, nesting)
        assert (found >= best - 1e-12).all()
        excess += list(found / best - 1)
        removed.append(ratios[:, nesting.branches])
    assert np.mean(np.array(excess) < 1e-9) > 0.97
    assert max(excess) < 0.12
    # At low prices of loss all branches are removed, at high ones none, and some between.
    removed = np.array(removed)
    assert removed[:, 0].all() and removed[:, -1].mean() < 0.1
    assert 0.2 < removed.mean() < 0.8


@each_nested
def test_refining_removes_and_restores_branches(network):
    ends, toggled = [], 0
    for seed in range(8):
        latency, levels, losses, nesting = nested_problem(network, seed)
        costs, lost = every_plan(latency, levels, losses, nesting)
        front = knapsack_front(latency, levels, losses, PRICES, nesting=nesting)
        front = np.vstack([front, np.zeros(front.shape[1])])
        found = nested_loss(levels, losses, front, nesting)
        for limit in np.linspace(0.02, 0.6, 12):
            within = front[found <= limit]
            corner = within[np.argmin(latency.predict(within))]
            ratios = refined(latency, levels, losses, corner, limit, nesting=nesting)
            assert nested_loss(levels, losses, ratios[None], nesting)[0] <= limit + 1e-9
            best = costs[lost <= limit + 1e-12].min()
            ends.append(latency.predict(ratios[None])[0] / best)
            toggled += (ratios != corner)[nesting.branches].any()
    assert np.mean(np.array(ends) < 1 + 1e-9) > 0.9
    assert np.mean(ends) < 1.01
    assert toggled > 5


def test_a_branch_comes_back_with_its_groups_pruned_as_they_were():
    """Where another branch saves more for the same loss, one goes and the other comes back."""
    groups, layers = NESTED["two"]
    costs = LayerCosts(layers, groups)
    names = [group.name for group in groups]
    first, second = names.index("block0"), names.index("block1")
    operators = np.array([float(layer.branches == ("block1",)) for layer in layers])
    latency = LatencyModel(costs, np.full(1 + 2 * len(layers), 0.1), operators=operators)
    levels = [np.arange(2.0) if group.is_branch else np.arange(3) * 0.375 for group in groups]
    losses = [np.array([0.0, 0.1]) if group.is_branch else np.zeros(3) for group in groups]
    start = np.array([level[-1] for level in levels])
    start[second] = 0.0
    ratios = refined(latency, levels, losses, start, 0.1, nesting=costs.nesting)
    assert (ratios[first], ratios[second]) == (0.0, 1.0)
    assert ratios[names.index("block0.conv1.weight")] == 0.75
