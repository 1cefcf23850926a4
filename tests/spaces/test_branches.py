import numpy as np
import pytest

from spaces.branches import Nesting, canonical, enclosing
from spaces.plan import PruningGroup

# A gate inside a block's branch, each with a group, and a group on the trunk.
GROUPS = (
    PruningGroup("trunk", 64),
    PruningGroup("block", 1, is_branch=True),
    PruningGroup("inner", 32, inside=("block",)),
    PruningGroup("gate", 1, inside=("block",), is_branch=True),
    PruningGroup("hidden", 8, inside=("gate", "elsewhere")),
)


def test_what_lies_in_a_branch_lies_in_the_branches_around_it_too():
    assert enclosing(GROUPS) == {
        "trunk": set(),
        "block": set(),
        "inner": {"block"},
        "gate": {"block"},
        "hidden": {"block", "gate"},
    }


def test_without_its_branch_in_the_space_a_group_lies_in_none():
    assert enclosing(GROUPS[2:3]) == {"inner": set()}


def test_a_branch_inside_itself_is_refused():
    one = PruningGroup("one", 1, inside=("other",), is_branch=True)
    other = PruningGroup("other", 1, inside=("one",), is_branch=True)
    with pytest.raises(ValueError, match="branch one lies inside itself"):
        enclosing((one, other))


def test_ratios_inside_a_removed_branch_are_0():
    rows = np.array(
        [
            [0.5, 0, 0.25, 0, 0.5],
            [0.5, 0, 0.25, 1, 0.5],
            [0.5, 1, 0.25, 1, 0.5],
        ]
    )
    nesting = Nesting(GROUPS)
    assert nesting.canonical(rows).tolist() == [
        [0.5, 0, 0.25, 0, 0.5],
        [0.5, 0, 0.25, 1, 0],
        [0.5, 1, 0, 0, 0],
    ]
    assert nesting.gone(rows).sum(axis=1).tolist() == [0, 1, 3]
    names = [group.name for group in GROUPS]
    for row, expected in zip(rows, nesting.canonical(rows), strict=True):
        plan = canonical(dict(zip(names, row, strict=True)), enclosing(GROUPS))
        assert [plan.get(name, 0.0) for name in names] == expected.tolist()


def test_without_branches_ratios_stay_as_they_are():
    rows = np.array([[0.5, 0.25]])
    nesting = Nesting((GROUPS[0], PruningGroup("other", 8)))
    assert nesting.canonical(rows) is rows
    assert not nesting.gone(rows).any()
    assert Nesting(()).gone(np.zeros((2, 0))).shape == (2, 0)


def test_the_branches_around_a_layer():
    nesting = Nesting(GROUPS)
    assert nesting.around(["gate"]) == {1, 3}
    assert nesting.around(["elsewhere"]) == set()
    assert nesting.branches.tolist() == [1, 3]
