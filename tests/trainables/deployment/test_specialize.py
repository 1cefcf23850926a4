"""Specialized functions give what the functions give, with only the code that they need."""

import ast
import itertools
import math
import sys

import pytest

from trainables.deployment.specialize import Program, plain

NAMES = {"low": 1, "high": 2}


def scaled(value: float, factor: float) -> float:
    """Return a scaled value.

    In a second paragraph.
    """
    return value * factor


def chosen(values: list[float], names: tuple[str, ...], limit: int | None, factor: float) -> str:
    """Return values by name."""
    assert limit is None or limit > 0
    kept = values if limit is None else values[:limit]
    found = []
    for name in names:
        found = _with(found, name, factor)
    return f"{found} of {limit}: {math.fsum(kept or [0.0])}"


def _with(found: list[float], name: str, factor: float) -> list[float]:
    last = math.inf if name == "low" else -math.inf
    if NAMES[name] > 1:
        return [*found, scaled(NAMES[name], factor)]
    return [*found, last]


def clamped(value: float, low: float, high: float, factor: float) -> float:
    """Return a value between two."""
    edge, other = _edges(value, low, factor)
    if edge is None:
        return value
    return min(max(edge, other), high)


def _edges(value: float, low: float, factor: float) -> tuple[float, float]:
    edge = scaled(value, factor) / 1
    other = NAMES["low"] * low
    return edge, other


def specialized(name, **known):
    """Return a specialized function of this module, and its source."""
    program = Program(sys.modules[__name__], {"NAMES['low']": "READ_LATER"}, str)
    made = program.specialized(name, known)
    functions = program.functions(made.name)
    tree = ast.Module([*functions], [])
    source = ast.unparse(ast.fix_missing_locations(tree))
    space = {"math": math, "READ_LATER": NAMES["low"]}
    exec(source, space)
    return space[made.name], source


@pytest.mark.parametrize(
    ("names", "limit", "factor"),
    itertools.product([(), ("low",), ("low", "high", "low")], [None, 1, 2], [1.0, 0.5]),
)
def test_what_is_known_is_computed(names, limit, factor):
    function, source = specialized("chosen", names=names, limit=limit, factor=factor)
    for values in ([], [1.0], [0.1, 0.2, 0.3]):
        assert function(values) == chosen(values, names, limit, factor)
    assert "assert" not in source and "NAMES" not in source and "for" not in source
    assert ("values[:" in source) == (limit is not None)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_calls_are_replaced_by_bodies(factor):
    function, source = specialized("clamped", low=0.5, factor=factor)
    for value in (0.1, 0.7, 2.0):
        assert function(value, 1.0) == clamped(value, 0.5, 1.0, factor)
    assert source.count("def ") == 1 and "/" not in source
    assert "READ_LATER * 0.5" in source


def test_names_that_would_be_overwritten_keep_a_function_apart(monkeypatch):
    text = """
def outer(edge, low):
    found = inner(low)
    return edge + found

def inner(low):
    edge = low * 2
    return edge * edge
"""
    monkeypatch.setattr("inspect.getsource", lambda module: text)
    function, source = specialized("outer")
    assert function(1, 2) == 17 and source.count("def ") == 2


def test_a_docstring_keeps_its_first_paragraph_and_annotations_go():
    (function,) = ast.parse('def f(a: int) -> int:\n    """One.\n\n    Two."""\n    return a').body
    assert ast.unparse(plain(function)) == 'def f(a):\n    """One."""\n    return a'
