import numpy as np
import pytest

from spaces.layers import LayerCosts, ratio_matrix
from spaces.measurements import timing_plans, timing_ratios
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.latency_model import LatencyModel
from spaces.space import Space
from tests.spaces.networks import chain, residual

GROUPS, LAYERS = chain(6, 32)
COSTS = LayerCosts(LAYERS, GROUPS)


def uneven(ratios, machine=0):
    """Latencies of a machine on which a layer's time is not its share of the arithmetic."""
    rng = np.random.default_rng(machine)
    work, written = COSTS.remaining(ratios, block=16)
    compute = 0.7 * COSTS.compute * rng.lognormal(0, 1, len(LAYERS))
    traffic = 0.2 * COSTS.traffic * rng.lognormal(0, 1, len(LAYERS))
    return 0.05 + work @ compute + written @ traffic


def fitted(count, machine=0):
    ratios = timing_ratios(count, len(GROUPS), 0.9, 0)
    return LatencyModel.fit(COSTS, ratios, uneven(ratios, machine))


def aligned(count):
    """Return plans in whole blocks, as a space's are."""
    return np.random.default_rng(1).integers(0, 8, (count, len(GROUPS))) / 8


def mean_error(count):
    """Return the relative error on unseen plans of models of some machines."""
    unseen = aligned(100)
    return np.mean(
        [
            np.abs(fitted(count, machine).predict(unseen) / uneven(unseen, machine) - 1)
            for machine in range(6)
        ]
    )


def test_without_timings_cost_is_in_proportion_to_the_arithmetic():
    model = LatencyModel.fit(COSTS, np.zeros((0, len(GROUPS))), np.zeros(0))
    whole, half = np.zeros((1, len(GROUPS))), np.full((1, len(GROUPS)), 0.5)
    assert model.predict(whole)[0] == pytest.approx(1.0, abs=0.03)
    assert 0.25 < model.predict(half)[0] < 0.5
    count = len(LAYERS)
    compute = model.coefficients[1 : count + 1]
    assert compute / compute.sum() == pytest.approx(COSTS.compute, rel=0.2)


def test_timings_are_met_and_no_part_is_negative():
    ratios = timing_ratios(12, len(GROUPS), 0.9, 0)
    model = LatencyModel.fit(COSTS, ratios, uneven(ratios))
    assert model.predict(ratios) == pytest.approx(uneven(ratios), rel=0.03)
    assert (model.coefficients >= 0).all()


def test_the_more_plans_were_timed_the_better_are_others_predicted():
    alone, few, usual, many = (mean_error(count) for count in (1, 4, 12, 24))
    assert usual < 0.05
    assert alone > few > 1.5 * usual > 1.5 * many


def test_a_model_twice_as_slow_is_predicted_twice_as_slow():
    ratios = timing_ratios(12, len(GROUPS), 0.9, 0)
    once = LatencyModel.fit(COSTS, ratios, uneven(ratios))
    twice = LatencyModel.fit(COSTS, ratios, 2 * uneven(ratios))
    unseen = aligned(20)
    assert twice.predict(unseen) == pytest.approx(2 * once.predict(unseen))


def test_what_a_group_saves_depends_on_its_neighbour():
    """A table per group cannot have that: the layer between two groups depends on both."""
    model = fitted(12)
    plans = np.zeros((4, len(GROUPS)))
    plans[1, 2], plans[2, 3], plans[3, 2:4] = 0.75, 0.75, 0.75
    whole, one, other, both = model.predict(plans)
    assert whole > max(one, other) > min(one, other) > both
    assert whole - both < 0.95 * ((whole - one) + (whole - other))


def test_latency_is_a_staircase():
    """48 to 33 of 64 channels are three blocks of 16: one channel less saves a block."""
    model = fitted(12)
    plans = np.zeros((4, len(GROUPS)))
    column = next(i for i, group in enumerate(GROUPS) if group.channels == 64)
    plans[:, column] = 1 - np.array([48, 40, 33, 32]) / 64
    found = model.predict(plans)
    in_block = (found[0] - found[2]) / 15
    assert in_block > 0
    assert found[2] - found[3] > 5 * in_block


def test_the_error_is_that_of_the_timings_or_their_noise():
    exact = fitted(20)
    assert exact.relative_error == pytest.approx(0.03)
    whole = np.zeros((1, len(GROUPS)))
    assert exact.errors(whole) == pytest.approx(0.03 * exact.predict(whole))
    ratios = np.vstack([timing_ratios(20, len(GROUPS), 0.9, 0)] * 2)
    # Timings of one plan that differ by half cannot both be predicted.
    disturbed = uneven(ratios) * np.repeat([0.75, 1.25], 20)
    assert LatencyModel.fit(COSTS, ratios, disturbed).relative_error > 0.15
    untimed = LatencyModel.fit(COSTS, ratios[:0], disturbed[:0])
    assert untimed.relative_error == np.inf


# With branches


class Residual:
    """A machine on which every operator of a residual network costs something however narrow."""

    def __init__(self, blocks, width, squeeze, constant, machine):
        self.groups, layers = residual(blocks, width, squeeze)
        self.space = Space(self.groups, (QuantizationChoice.FLOAT,))
        self.costs = LayerCosts(layers, self.groups)
        rng, count = np.random.default_rng(machine), len(layers)
        self._compute = 0.7 * self.costs.compute * rng.lognormal(0, 0.5, count)
        self._traffic = 0.2 * self.costs.traffic * rng.lognormal(0, 0.5, count)
        self._operators = constant / count * rng.lognormal(0, 0.4, count)
        self._noise = np.random.default_rng(machine + 100)

    def true(self, ratios):
        work, written = self.costs.remaining(ratios, block=16)
        present = self.costs.present(ratios) @ self._operators
        return 0.01 + work @ self._compute + written @ self._traffic + present

    def rows(self, plans):
        return ratio_matrix(self.groups, plans)

    def fitted(self, rows):
        timed = self.true(rows) * np.exp(self._noise.normal(0, 0.03, len(rows)))
        return LatencyModel.fit(self.costs, rows, timed)

    def held_out(self, seed, count=40):
        """Return plans of the space; every second has branches removed."""
        rng, plans = np.random.default_rng(seed), []
        for number in range(count):
            spread = rng.uniform(-0.4, 0.4, len(self.groups))
            ratios = np.clip(rng.uniform(0, 1) + spread, 0, 0.9)
            gone = rng.uniform(0, 1, len(self.groups)) < 0.4 * (number % 2)
            plan = {
                g.name: float(gone[i]) if g.is_branch else ratios[i]
                for i, g in enumerate(self.groups)
            }
            plans.append(Plan.of(plan, QuantizationChoice.FLOAT))
        return self.rows([self.space.snap(plan) for plan in plans])


@pytest.mark.parametrize(
    ("blocks", "width", "squeeze", "constant"),
    [(6, 32, False, 0.08), (6, 32, True, 0.08), (8, 16, False, 0.2), (10, 32, False, 0.05)],
)
def test_twelve_timings_predict_plans_with_and_without_branches(blocks, width, squeeze, constant):
    errors = []
    for machine in range(6):
        one = Residual(blocks, width, squeeze, constant, machine)
        rows = one.rows(timing_plans(one.space, QuantizationChoice.FLOAT, 12, machine))
        unseen = one.held_out(machine)
        errors.append(np.abs(one.fitted(rows).predict(unseen) / one.true(unseen) - 1))
    errors = np.array(errors)
    for found in (errors, errors[:, 1::2]):
        assert np.median(found) <= 0.05
        assert np.quantile(found, 0.9) <= 0.15


def test_timings_without_removals_predict_plans_without_them_as_well():
    """The constants of the layers are then as unknown as their sum is known."""
    one = Residual(6, 32, False, 0.08, 0)
    plain = [group for group in one.groups if not group.is_branch]
    columns = [one.groups.index(group) for group in plain]
    rows = np.zeros((12, len(one.groups)))
    rows[:, columns] = timing_ratios(12, len(plain), 0.9, 0)
    alone = LayerCosts(one.costs.layers, plain)
    nested = LatencyModel.fit(one.costs, rows, one.true(rows))
    flat = LatencyModel.fit(alone, rows[:, columns], one.true(rows))
    unseen = one.held_out(0)[::2]
    assert nested.predict(unseen) == pytest.approx(flat.predict(unseen[:, columns]), rel=0.03)
    assert flat.operators is None and len(nested.operators) == len(one.costs.layers)


def test_a_branch_at_both_levels_differs_as_whole_plans_do():
    one = Residual(4, 32, True, 0.2, 0)
    model = one.fitted(one.rows(timing_plans(one.space, QuantizationChoice.FLOAT, 12, 0)))
    rows = one.held_out(1)
    for group, item in enumerate(one.groups):
        levels = np.array([0.0, 1.0] if item.is_branch else [0.0, 0.5])
        spent = model.at_levels(rows, group, levels)
        whole = []
        for level in levels:
            changed = rows.copy()
            changed[:, group] = level
            whole.append(model.predict(changed))
        assert spent[:, 0] - spent[:, 1] == pytest.approx(whole[0] - whole[1])
