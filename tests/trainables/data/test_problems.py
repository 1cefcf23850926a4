import pytest

from spaces.errors import DataError


def test_no_problem_raises_nothing(problems):
    problems.raise_if_any()


def test_the_first_problem_is_named_and_the_others_counted(problems):
    problems.note("a:1", "one")
    with pytest.raises(DataError, match=r"^a:1: one$"):
        problems.raise_if_any()
    problems.note("a:2", "two")
    with pytest.raises(DataError, match=r"^a:1: one \(and 1 more\)$"):
        problems.raise_if_any()
