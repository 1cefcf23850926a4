"""The model of what full training leaves."""

from itertools import pairwise

import numpy as np
import pytest

from spaces.planning.fidelity import FidelityModel
from spaces.planning.settings import FidelitySettings

LEVELS = (1 / 64, 1 / 16, 1 / 4, 1.0)
BUDGET = 0.1


# Half of a loss is left at every level, however large it is.
HALF = FidelitySettings(ratio=0.5, growth=0.0, growth_spread=1e-3)
# The share grows with the loss.
GROWING = FidelitySettings(ratio=0.4, growth=1.0)


def predicted(model, fidelity, loss):
    means, errors = model.predict(np.array([fidelity]), np.array([loss]))
    return float(means[0]), float(errors[0])


def taught(ratio=0.3, noise=0.0, plans=50, levels=LEVELS):
    """Return a model that has seen losses shrink by a ratio at every level, with noise."""
    model, rng = FidelityModel(levels, BUDGET, HALF), np.random.default_rng(0)
    for loss in rng.uniform(0.05, 0.3, plans):
        losses = [loss]
        for _ in levels[1:]:
            losses.append(ratio * losses[-1] + float(rng.normal(0, noise)))
        steps = list(zip(levels, losses, strict=True))
        for before, after in pairwise(steps):
            model.learn(before, after)
    return model


def test_before_any_plan_the_share_of_the_settings_is_left_at_every_level():
    model, left = FidelityModel(LEVELS, BUDGET, HALF), HALF.ratio
    assert model.coefficients[:, 0] == pytest.approx([left, left, left])
    assert predicted(model, 1 / 4, 0.2)[0] == pytest.approx(0.2 * left)
    assert predicted(model, 1 / 64, 0.2)[0] == pytest.approx(0.2 * left**3)
    assert FidelityModel((1 / 16, 1.0), BUDGET, HALF).coefficients[0, 0] == pytest.approx(left**2)


def test_at_full_fidelity_a_loss_is_itself_and_exact():
    assert predicted(FidelityModel(LEVELS, BUDGET, HALF), 1.0, 0.123) == (0.123, 0.0)
    assert predicted(FidelityModel((1.0,), BUDGET, HALF), 1.0, -0.02) == (-0.02, 0.0)


def test_the_error_of_a_prediction_falls_with_fidelity():
    model = FidelityModel(LEVELS, BUDGET, HALF)
    finals = [
        predicted(model, level, 0.1 / 0.5**left)
        for left, level in zip((3, 2, 1, 0), LEVELS, strict=True)
    ]
    assert [mean for mean, _ in finals] == pytest.approx([0.1] * 4)
    assert (np.diff([error for _, error in finals]) < 0).all()


def test_plans_that_were_trained_on_move_ratios_and_narrow_errors():
    before, after = FidelityModel(LEVELS, BUDGET, HALF), taught(0.3, noise=0.002)
    assert after.coefficients[:, 0] == pytest.approx([0.3, 0.3, 0.3], abs=0.1)
    # At the first level losses are greatest beside the noise, and teach most.
    assert after.coefficients[0, 0] == pytest.approx(0.3, abs=0.04)
    assert predicted(after, 1 / 4, 0.2)[1] < 0.5 * predicted(before, 1 / 4, 0.2)[1]


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_error_is_that_of_the_plans(noise):
    """Of unseen plans, near the budget, two thirds end within one error of the prediction."""
    model, rng = taught(0.4, noise, plans=300, levels=LEVELS[-2:]), np.random.default_rng(1)
    losses = rng.uniform(0.15, 0.3, 500)
    finals = 0.4 * losses + rng.normal(0, noise, 500)
    means, errors = model.predict(np.full(500, 1 / 4), losses)
    assert 0.55 < (np.abs(finals - means) < errors).mean() < 0.85


def test_a_level_alone_learns_what_it_was_taught():
    model = FidelityModel(LEVELS, BUDGET, HALF)
    for _ in range(20):
        model.learn((1 / 16, 0.2), (1 / 4, 0.16))
    assert model.coefficients[1, 0] > 0.7
    assert model.coefficients[[0, 2], 0] == pytest.approx([0.5, 0.5])


def test_of_a_larger_loss_a_larger_share_is_left():
    model = FidelityModel(LEVELS, BUDGET, GROWING)
    assert predicted(model, 1 / 4, 0.1)[0] == pytest.approx(0.4 * 0.1 + 0.1**2)
    assert predicted(model, 1 / 4, 0.3)[0] == pytest.approx(0.4 * 0.3 + 0.3**2)
    # Never more than there was.
    assert predicted(model, 1 / 4, 0.8)[0] == pytest.approx(0.8)


def test_the_growth_of_the_share_is_learned():
    model, other = (FidelityModel((1 / 4, 1.0), BUDGET, GROWING) for _ in range(2))
    for loss in np.linspace(0.05, 0.4, 20):
        model.learn((1 / 4, loss), (1.0, 0.3 * loss + 1.6 * loss**2))
        other.learn((1 / 4, loss), (1.0, 0.5 * loss))
    assert predicted(model, 1 / 4, 0.3)[0] == pytest.approx(0.3 * 0.3 + 1.6 * 0.3**2, rel=0.1)
    assert predicted(other, 1 / 4, 0.3)[0] == pytest.approx(0.15, rel=0.1)
    assert model.coefficients[0, 1] > 1.2 > 0.5 > other.coefficients[0, 1]


def test_the_order_of_plans_does_not_matter():
    pairs = [
        ((1 / 64, loss), (1 / 16, share * loss))
        for loss, share in ((0.3, 0.5), (0.1, 0.2), (-0.01, 0.9), (0.02, -0.4))
    ]
    one, other = FidelityModel(LEVELS, BUDGET, HALF), FidelityModel(LEVELS, BUDGET, HALF)
    for pair in pairs:
        one.learn(*pair)
    for pair in pairs[::-1]:
        other.learn(*pair)
    assert predicted(one, 1 / 64, 0.2) == pytest.approx(predicted(other, 1 / 64, 0.2))


@pytest.mark.parametrize("loss", [0.0, -0.03])
def test_losses_at_or_below_zero_are_predicted_with_an_error(loss):
    mean, error = predicted(FidelityModel(LEVELS, BUDGET, HALF), 1 / 64, loss)
    assert loss <= mean <= 0
    assert error > 0.05 * BUDGET


def test_a_budget_near_zero_has_errors_too():
    assert predicted(FidelityModel(LEVELS, 0.0), 1 / 4, 0.0)[1] > 0


def test_the_chance_counts_the_margin_and_the_error():
    model = FidelityModel(LEVELS, BUDGET, HALF)
    at, losses = np.array([1 / 4, 1 / 4, 1.0, 1.0]), np.array([0.2, 0.2, 0.1, 0.1])
    chances = model.chance(at, losses, np.array([0.0, 0.02, 0.0, 0.001]), BUDGET)
    assert chances[0] == pytest.approx(0.5)
    assert 0 < chances[1] < 0.5
    assert list(chances[2:]) == [1.0, 0.0]


def test_a_fidelity_between_levels_counts_as_the_nearer_one():
    model = FidelityModel(LEVELS, BUDGET, HALF)
    assert predicted(model, 0.26, 0.2) == predicted(model, 1 / 4, 0.2)
    assert predicted(model, 0.9, 0.2) == (0.2, 0.0)


def test_levels_are_refused_unless_they_ascend_to_full():
    for levels in ((), (0.5, 0.25, 1.0), (0.25, 0.5), (0.0, 1.0)):
        with pytest.raises(ValueError, match="fidelities"):
            FidelityModel(levels, BUDGET, HALF)
    with pytest.raises(ValueError, match="next one"):
        FidelityModel(LEVELS, BUDGET, HALF).learn((1 / 64, 0.1), (1.0, 0.1))
