"""Validation and test out of one list, where the user has no list for the test."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from trainables.remarks import remark

# Any would do. A fixed one, so that every worker and every resumed run splits alike.
SEED = 0


def halves(strata: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Return the places of two halves of a list, each in the list's order.

    Every stratum is split evenly, to within one. Within it chance decides, always alike: a list
    may have a period, as one whose classes or cameras take turns.
    """
    order = np.random.default_rng(SEED).permutation(len(strata)).tolist()
    # By the first place of each stratum: labels of mixed types have no order.
    rank = {stratum: place for place, stratum in reversed(list(enumerate(strata)))}
    arranged = sorted(order, key=lambda place: rank[strata[place]])
    return sorted(arranged[::2]), sorted(arranged[1::2])


def rarest(labels: Iterable[Iterable[Hashable]]) -> list[Hashable]:
    """Return, for samples with several labels each, the one that fewest samples have; or None."""
    sets = [set(of) for of in labels]
    counts: dict[Hashable, int] = {}
    for of in sets:
        for label in of:
            counts[label] = counts.get(label, 0) + 1
    return [min(of, key=lambda label: (counts[label], str(label)), default=None) for of in sets]


def remark_split(part: str, validation: Sequence[object], test: Sequence[object], how: str) -> None:
    """Say in the first lines of a run that a part without a test split was divided."""
    remark(
        f"no test split is named: the {len(validation) + len(test)} images of {part} are divided "
        f"{how}, {len(validation)} to validate on and {len(test)} for the test"
    )
