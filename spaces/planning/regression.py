"""Linear regression with a prior and coefficients of at least 0."""

from __future__ import annotations

import numpy as np

from spaces.layers import Array


def fit_near(
    features: Array, targets: Array, noise: Array, prior: Array, prior_spread: Array
) -> Array:
    """Return coefficients c for `features @ c ~ targets`, near `prior` where data say little.

    Bayesian linear regression with independent normal priors (Bishop, 2006, 3.3):
    `features` has shape (samples, n), `noise` is the standard deviation of each target,
    `prior_spread` that of each coefficient, all above 0. Negative coefficients
    are fixed at 0 and the others fitted again.
    """
    weighted = features / noise[:, None]
    precision = np.diag(1 / prior_spread**2)
    gram = weighted.T @ weighted + precision
    moment = weighted.T @ (targets / noise) + prior / prior_spread**2
    mean: Array = np.linalg.solve(gram, moment)
    free = np.ones(len(prior), bool)
    while (mean[free] < 0).any():
        free &= mean >= 0
        mean = np.zeros(len(prior))
        mean[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
    return mean


def covariance(features: Array, noise: Array, prior_spread: Array) -> Array:
    """Return the covariance of what `fit_near` fits, shape (n, n), without the bound at 0."""
    weighted = features / noise[:, None]
    found: Array = np.linalg.inv(weighted.T @ weighted + np.diag(1 / prior_spread**2))
    return found
