import numpy as np
import pytest

from spaces.planning.regression import covariance, fit_near

TRUE = np.array([0.5, 2.0, 0.1])


def samples(count, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.uniform(0, 1, (count, len(TRUE)))
    return features, features @ TRUE


def fit(features, targets, noise=0.01, prior=(1.0, 1.0, 1.0), spread=1.0):
    width = features.shape[1]
    return fit_near(
        features,
        targets,
        np.full(len(targets), noise),
        np.array(prior[:width]),
        np.full(width, spread),
    )


def test_without_data_the_prior_is_all_there_is():
    found = fit(np.zeros((0, 3)), np.zeros(0), prior=(0.2, 0.3, 0.4), spread=0.5)
    assert found == pytest.approx([0.2, 0.3, 0.4])


def test_with_much_data_the_prior_does_not_matter():
    assert fit(*samples(200)) == pytest.approx(TRUE, abs=0.01)


def test_little_data_moves_the_prior_only_where_it_says_something():
    found = fit(np.array([[0.0, 1.0, 0.0]]), np.array([3.0]), noise=1e-6)
    assert found == pytest.approx([1.0, 3.0, 1.0], abs=1e-6)


def test_one_target_moves_both_coefficients_that_could_explain_it_by_their_spreads():
    found = fit_near(
        np.array([[1.0, 1.0]]),
        np.array([3.0]),
        np.array([1e-4]),
        np.array([1.0, 1.0]),
        np.array([1.0, 3.0]),
    )
    # The variance of the second is nine times that of the first.
    assert found == pytest.approx([1.1, 1.9], abs=1e-5)


def test_a_noisy_target_counts_less():
    features, targets = np.array([[1.0], [1.0]]), np.array([0.0, 1.0])
    noise = np.array([0.3, 0.1])
    found = fit_near(features, targets, noise, np.array([0.5]), np.array([1e3]))
    assert found == pytest.approx([0.9], abs=1e-4)


def test_a_coefficient_that_would_be_negative_is_0_and_the_others_make_the_best_of_it():
    features, _ = samples(100)
    targets = features @ np.array([1.0, -0.5, 0.3])
    found = fit(features, targets, spread=100.0)
    assert found[1] == 0
    alone = fit(features[:, [0, 2]], targets, spread=100.0)
    assert found[[0, 2]] == pytest.approx(alone)


@pytest.mark.parametrize("seed", range(20))
def test_no_coefficient_is_ever_negative(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(8, 5))
    targets = features @ np.array([-1.0, *rng.normal(size=4)])
    mean = fit(features, targets, prior=(0.1,) * 5, spread=2.0)
    assert (mean >= 0).all()
    assert (mean == 0).any()
    # Of one sign alone they would do nothing but vanish.
    assert fit(features, -features.sum(axis=1), prior=(0.1,) * 5).tolist() == [0] * 5


def test_the_covariance_is_the_priors_without_data_and_shrinks_where_there_are():
    spread = np.array([0.5, 2.0])
    none = covariance(np.zeros((0, 2)), np.zeros(0), spread)
    assert none == pytest.approx(np.diag([0.25, 4.0]))
    known = covariance(np.array([[0.0, 1.0]]), np.array([0.1]), spread)
    # As precisions add up: 1 / (1 / 4 + 1 / 0.01).
    assert known == pytest.approx(np.diag([0.25, 1 / 100.25]))
