"""How important a channel is: one small function per criterion.

A criterion takes a weight of shape (output channels, inputs) and returns one score per channel,
0 or more. A group's score is the sum over its weights; for criteria in ON_SCALES, over the scales
of its batch norms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spaces.plan import ImportanceCriterion

Array = NDArray[np.float64]
Criterion = Callable[[Array], Array]


def l1_norm(rows: Array) -> Array:
    """Return the sums of absolute weights (Li et al., ICLR 2017)."""
    found: Array = np.abs(rows).sum(axis=1)
    return found


def l2_norm(rows: Array) -> Array:
    """Return the Euclidean norms (He et al., IJCAI 2018)."""
    found: Array = np.sqrt((rows**2).sum(axis=1))
    return found


def geometric_median(rows: Array) -> Array:
    """Return each channel's summed distance to all others: channels close to many others are
    redundant (FPGM, He et al., CVPR 2019)."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * rows @ rows.T
    found: Array = np.sqrt(np.maximum(distances, 0.0)).sum(axis=1)
    return found


def batch_norm_scale(rows: Array) -> Array:
    """Return the absolute scales of a batch norm (network slimming, Liu et al., ICCV 2017)."""
    found: Array = np.abs(rows).sum(axis=1)
    return found


CRITERIA: dict[ImportanceCriterion, Criterion] = {
    "l1_norm": l1_norm,
    "l2_norm": l2_norm,
    "geometric_median": geometric_median,
    "batch_norm_scale": batch_norm_scale,
}
ON_SCALES = frozenset({"batch_norm_scale"})
