"""Linear models with coefficients that are not negative and are near to what is expected."""

from __future__ import annotations

import numpy as np

from spaces.layers import Array


def fit_near(
    features: Array, targets: Array, noise: Array, prior: Array, prior_spread: Array
) -> Array:
    """Return coefficients for `features @ c ~ targets`, near `prior` where little is known.

    Bayesian linear regression with independent normal priors (Bishop, 2006, 3.3):
    `features` has shape (samples, n), `noise` is the standard deviation of each target,
    `prior_spread` that of each coefficient, all above 0. A coefficient that would come
    out negative is held at 0 and the others are fitted again.
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
