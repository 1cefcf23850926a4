import numpy as np
import pytest

from spaces.plan import ON_CPU, PruningGroup
from spaces.planning.loss_model import Curves, LossModel, monotone
from spaces.planning.settings import DEFAULT_SETTINGS

FLOAT, BF16, PTQ, QAT, PACT = ON_CPU
CHOICES = (FLOAT, PTQ)
FLOOR, PRIOR = DEFAULT_SETTINGS.loss.floor, DEFAULT_SETTINGS.loss.multiplier
GROUPS = (PruningGroup("robust", 64), PruningGroup("fragile", 64), PruningGroup("unknown", 64))
CURVES = Curves(
    GROUPS,
    {
        "robust": [(0.25, 0.0), (0.5, 0.02), (0.75, 0.1)],
        "fragile": [(0.25, 0.1), (0.5, 0.4), (0.75, 0.6)],
    },
)


def fit(ratios, chosen, losses, choices=CHOICES):
    rows = np.array(ratios, float).reshape(-1, len(GROUPS))
    return LossModel.fit(CURVES, choices, rows, chosen, np.array(losses, float))


def plans(seed, count):
    rng = np.random.default_rng(seed)
    chosen = [CHOICES[index] for index in rng.integers(0, 2, count)]
    return rng.uniform(0, 0.75, (count, len(GROUPS))), chosen


def test_a_curve_that_rises_is_left_as_it_is():
    ratios, losses = monotone([(0.25, 0.1), (0.5, 0.2), (0.75, 0.4)])
    assert ratios.tolist() == [0, 0.25, 0.5, 0.75]
    assert losses.tolist() == [0, 0.1, 0.2, 0.4]


def test_where_a_curve_falls_neighbours_share_their_mean():
    _, losses = monotone([(0.2, 0.1), (0.4, 0.3), (0.6, 0.2), (0.8, 0.4)])
    assert losses == pytest.approx([0, 0.1, 0.25, 0.25, 0.4])
    # A value below the mean of the pool before it joins that pool.
    _, losses = monotone([(0.2, 0.3), (0.4, 0.4), (0.6, 0.05)])
    assert losses == pytest.approx([0, 0.25, 0.25, 0.25])


def test_a_gain_counts_as_no_loss():
    _, losses = monotone([(0.25, -0.1), (0.5, 0.2)])
    assert losses.tolist() == [0, 0, 0.2]


def test_no_curve_is_no_loss():
    ratios, losses = monotone([])
    assert (ratios.tolist(), losses.tolist()) == ([0], [0])


@pytest.mark.parametrize("seed", range(10))
def test_the_monotone_curve_is_the_nearest_there_is(seed):
    """By the minimax formula of isotonic regression."""
    values = np.random.default_rng(seed).uniform(0, 1, 8)
    _, found = monotone([((i + 1) / 10, v) for i, v in enumerate(values)])
    expected = [
        max(min(values[low : high + 1].mean() for high in range(i, 8)) for low in range(i + 1))
        for i in range(8)
    ]
    assert found[1:] == pytest.approx(expected)


def test_a_group_contributes_its_loss_and_a_little_for_every_channel():
    found = CURVES.feature(1, np.array([0.0, 0.25, 0.375, 0.75]))
    assert found == pytest.approx([0, 0.1 + FLOOR * 0.25, 0.25 + FLOOR * 0.375, 0.6 + FLOOR * 0.75])


def test_a_group_that_was_not_measured_contributes_a_little():
    assert CURVES.feature(2, np.array([0.0, 0.5])) == pytest.approx([0, FLOOR * 0.5])


def test_more_pruning_is_never_free():
    grid = np.linspace(0, 0.9, 50)
    for group in range(len(GROUPS)):
        assert (np.diff(CURVES.feature(group, grid)) > 0).all()


def test_features_are_those_of_every_group():
    ratios = np.array([[0.5, 0.25, 0.0], [0.0, 0.75, 0.5]])
    found = CURVES.features(ratios)
    assert found.shape == (2, 3)
    for group in range(3):
        assert found[:, group] == pytest.approx(CURVES.feature(group, ratios[:, group]))


def test_before_any_trial_the_loss_is_a_share_of_the_sensitivities():
    model = fit([], [], [])
    ratios = np.array([[0.5, 0.25, 0.0]])
    expected = PRIOR * CURVES.features(ratios).sum()
    assert model.predict(ratios, [FLOAT]) == pytest.approx([expected])
    assert model.offsets == pytest.approx({FLOAT: 0, PTQ: 0})


def test_one_trial_moves_all_multipliers_the_same_way():
    lossy = fit([[0.5, 0.5, 0.5]], [FLOAT], [0.2])
    harmless = fit([[0.5, 0.5, 0.5]], [FLOAT], [0.0])
    assert (lossy.multipliers > PRIOR).all()
    assert (harmless.multipliers < PRIOR).all()


def test_the_model_gets_nearer_to_a_trial():
    ratios = np.array([[0.5, 0.5, 0.0]])
    before = fit([], [], []).predict(ratios, [FLOAT])[0]
    after = fit(ratios, [FLOAT], [0.2]).predict(ratios, [FLOAT])[0]
    assert abs(after - 0.2) < 0.3 * abs(before - 0.2)


def test_a_group_gets_its_own_multiplier_as_trials_show_it():
    """The losses come from the group that looked robust."""
    true = np.array([0.5, 0.05, 0.1])
    unseen, others = plans(1, 40)
    truth = CURVES.features(unseen) @ true

    def learnt(count):
        ratios, chosen = plans(0, count)
        model = fit(ratios, chosen, CURVES.features(ratios) @ true)
        return model, np.abs(model.predict(unseen, others) - truth).mean()

    (_, before), (some, less), (more, least) = (learnt(count) for count in (0, 40, 400))
    assert some.multipliers[0] > 2 * some.multipliers[1]
    assert more.multipliers[0] > 4 * more.multipliers[1]
    assert before > 1.2 * less > 1.5 * least


def test_what_a_choice_adds_is_learnt_for_it_alone():
    ratios = np.zeros((6, 3))
    model = fit(ratios, [PTQ] * 6, [0.03] * 6, choices=(FLOAT, PTQ, QAT))
    assert model.offsets[PTQ] == pytest.approx(0.03, abs=0.005)
    assert model.offsets[FLOAT] == pytest.approx(0, abs=1e-9)
    assert model.offsets[QAT] == pytest.approx(0, abs=1e-9)
    whole = np.zeros((2, 3))
    assert model.predict(whole, [FLOAT, PTQ]) == pytest.approx([0, 0.03], abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_noise_makes_no_multiplier_negative(seed):
    ratios, chosen = plans(seed, 10)
    losses = np.random.default_rng(seed).normal(0, 0.05, 10)
    model = fit(ratios, chosen, losses)
    assert (model.multipliers >= 0).all()
    assert min(model.offsets.values()) >= 0


NESTED = (
    PruningGroup("block", 1, is_branch=True),
    PruningGroup("inner", 64, inside=("block",)),
    PruningGroup("other", 1, is_branch=True),
)
NESTED_CURVES = Curves(
    NESTED, {"block": [(1.0, 0.3)], "inner": [(0.5, 0.1)], "other": [(1.0, 0.2)]}
)


def test_of_a_removed_branch_only_its_own_loss_counts():
    found = NESTED_CURVES.features(np.array([[0.0, 0.5, 0.0], [1.0, 0.5, 0.0], [1.0, 0.0, 1.0]]))
    assert found == pytest.approx(
        np.array(
            [[0, 0.1 + FLOOR / 2, 0], [0.3 + FLOOR, 0, 0], [0.3 + FLOOR, 0, 0.2 + FLOOR]],
        )
    )


def test_trials_with_branches_removed_teach_about_other_branches_more_than_about_groups():
    model = LossModel.fit(
        NESTED_CURVES, (FLOAT,), np.array([[1.0, 0.0, 0.0]] * 4), [FLOAT] * 4, np.full(4, 0.15)
    )
    block, inner, other = model.multipliers
    assert block == pytest.approx(0.15 / (0.3 + FLOOR), rel=0.2)
    assert other > 2 * PRIOR
    assert inner == pytest.approx(PRIOR)


def test_what_the_last_branch_costs_is_learnt_from_two_trials_without_it():
    # In searches of the built-in problem five of its branches could go, for a loss of 0.12, but not
    # the sixth: 0.56, many times what it costs alone.
    groups = tuple(PruningGroup(f"branch{i}", 1, is_branch=True) for i in range(6))
    curves = Curves(groups, {group.name: [(1.0, 0.1)] for group in groups})
    five, six = np.array([1.0, 1, 1, 1, 1, 0]), np.ones(6)
    model = LossModel.fit(
        curves,
        (FLOAT,),
        np.array([five, five, six, six]),
        [FLOAT] * 4,
        np.array([0.12, 0.12, 0.56, 0.56]),
    )
    kept, lost = model.predict(np.array([five, six]), [FLOAT] * 2)
    assert kept == pytest.approx(0.12, abs=0.03)
    assert lost > 0.3
    assert model.multipliers[5] > 3 * model.multipliers[:5].max()
