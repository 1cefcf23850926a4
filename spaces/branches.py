"""Branches among pruning groups, and the groups that lie inside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spaces.plan import PruningGroup

Array = NDArray[np.float64]


def enclosing(groups: Sequence[PruningGroup]) -> dict[str, frozenset[str]]:
    """Return, for every group, all branches among the groups that it lies in.

    Branches that enclose such a branch count too; names of other groups are ignored. Raises
    ValueError if a branch lies inside itself.
    """
    direct = {group.name: set(group.inside) for group in groups}
    branches = {group.name for group in groups if group.is_branch}
    found = {name: names & branches for name, names in direct.items()}
    grown = True
    while grown:
        grown = False
        for names in found.values():
            more = set().union(*(found[name] for name in names)) - names
            names |= more
            grown |= bool(more)
    for name, names in found.items():
        if name in names:
            raise ValueError(f"branch {name} lies inside itself")
    return {name: frozenset(names) for name, names in found.items()}


class Nesting:
    """The branches among a model's pruning groups, as arrays.

    A row of ratios may have values for groups inside a removed branch. They change nothing while
    the branch is removed, and count again when it is restored.
    """

    def __init__(self, groups: Sequence[PruningGroup]) -> None:
        names = [group.name for group in groups]
        around = enclosing(groups)
        self.branches: NDArray[np.int64] = np.flatnonzero([g.is_branch for g in groups])
        """The branches' columns."""
        inside = [[branch in around[name] for name in names] for branch in names]
        self.inside: NDArray[np.bool_] = np.array(inside, bool).reshape(len(names), len(names))
        """Whether a group (second index) lies in a branch (first index)."""
        depth = self.inside.sum(axis=0)
        order = np.where(np.isin(np.arange(len(names)), self.branches), depth, len(names))
        self.inner_first: list[int] = np.argsort(-order, kind="stable").tolist()
        """All columns: the groups, then the branches, each after those inside it."""
        # As numbers: products of Boolean matrices are slow.
        self._inside = self.inside[self.branches].astype(float)
        self._around = around
        self._columns = {name: column for column, name in enumerate(names)}

    @classmethod
    def flat(cls, count: int) -> Nesting:
        """Return the nesting of so many groups without branches."""
        return cls([PruningGroup(str(index), 1) for index in range(count)])

    @property
    def kinds(self) -> list[NDArray[np.int64] | slice]:
        """The columns of the groups, and those of the branches if there are any."""
        if not len(self.branches):
            return [slice(None)]
        return [np.setdiff1d(np.arange(len(self.inside)), self.branches), self.branches]

    @cached_property
    def related(self) -> NDArray[np.bool_]:
        """Whether two columns are the same, one lies in the other, or something lies in both."""
        inside = self.inside | np.eye(len(self.inside), dtype=bool)
        numbers = inside.astype(float)
        found: NDArray[np.bool_] = numbers @ numbers.T > 0
        return found

    def around(self, names: Iterable[str]) -> set[int]:
        """Return the columns of these branches and of all branches that they lie in."""
        known = [name for name in names if name in self._columns]
        return {self._columns[b] for name in known for b in (name, *self._around[name])}

    def gone(self, ratios: Array) -> NDArray[np.bool_]:
        """Return which groups lie in a removed branch, shape (plans, groups)."""
        removed = (ratios[:, self.branches] >= 1).astype(float)
        found: NDArray[np.bool_] = removed @ self._inside > 0
        return found

    def gone_in(self, branch: int, ratios: Array) -> NDArray[np.bool_]:
        """Return which groups inside a branch lie in another one that is removed.

        Shape (plans, groups inside): those of `inside[branch]`, while the branch is present.
        """
        inner = self.inside[branch]
        others = np.flatnonzero(self.inside[:, inner].any(axis=1))
        others = others[others != branch]
        removed = (ratios[:, others] >= 1).astype(float)
        found: NDArray[np.bool_] = removed @ self.inside[others][:, inner].astype(float) > 0
        return found

    def canonical(self, ratios: Array) -> Array:
        """Return the ratios, shape (plans, groups), with 0 for every group in a removed branch."""
        if not len(self.branches):
            return ratios
        return np.where(self.gone(ratios), 0.0, ratios)


def canonical(
    ratios: Mapping[str, float], around: Mapping[str, frozenset[str]]
) -> dict[str, float]:
    """Return the ratios of a plan without those of groups in a removed branch.

    `around` is what `enclosing` returns.
    """
    removed = {group for group, ratio in ratios.items() if ratio >= 1}
    if not removed:
        return dict(ratios)
    return {group: ratio for group, ratio in ratios.items() if not around[group] & removed}
