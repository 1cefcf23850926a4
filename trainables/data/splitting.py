"""A list of samples divided into validation and test, for data without a test split."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from trainables.remarks import remark

# Fixed, so that every worker and every resumed run splits alike; the value is arbitrary.
SEED = 0


def halves(strata: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Return the indices of two halves of a list, each in ascending order.

    Each stratum is split evenly, to within one. Within a stratum the choice is random with a fixed
    seed: taking every second sample would fail on lists whose classes or cameras alternate.
    """
    order = np.random.default_rng(SEED).permutation(len(strata)).tolist()
    # Strata in order of first appearance: labels of mixed types cannot be compared.
    rank = {stratum: index for index, stratum in reversed(list(enumerate(strata)))}
    arranged = sorted(order, key=lambda index: rank[strata[index]])
    return sorted(arranged[::2]), sorted(arranged[1::2])


def rarest(labels: Iterable[Iterable[Hashable]]) -> list[Hashable]:
    """Return each sample's rarest label, the one that the fewest samples have; None without any."""
    sets = [set(each) for each in labels]
    counts: dict[Hashable, int] = {}
    for each in sets:
        for label in each:
            counts[label] = counts.get(label, 0) + 1
    return [min(each, key=lambda label: (counts[label], str(label)), default=None) for each in sets]


def remark_split(part: str, validation: Sequence[object], test: Sequence[object], how: str) -> None:
    """Say among the run's first lines that a split was divided into validation and test."""
    remark(
        f"no test split is named: the {len(validation) + len(test)} images of {part} are divided "
        f"{how}, {len(validation)} for validation and {len(test)} for test"
    )
