"""Typed values as JSON and back: files of a run, caches, and results on their way to the driver."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from spaces.plan import Plan

Value = TypeVar("Value")


def _read_plan(value: Any) -> Plan:
    """Return a plan from its JSON. Raises ValueError if it is none."""
    if isinstance(value, Plan):
        return value
    try:
        return Plan.from_json(value)
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError("should be a plan: its ratios by group, and its quantization") from error


PlanField = Annotated[Plan, BeforeValidator(_read_plan), PlainSerializer(Plan.to_json)]
"""A plan in a typed value; its JSON is that of plan.json."""


_adapters: dict[Any, TypeAdapter[Any]] = {}


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what reads and writes values of a type."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def plain(kind: Any, value: Any) -> Any:
    """Return a value of a type as JSON has it: mappings, lists, texts, numbers, None."""
    # Tasks name sizes and scales by numpy's numbers, of which pydantic would warn.
    return adapter(kind).dump_python(
        value, mode="json", by_alias=True, fallback=_number, warnings=False
    )


def encode(kind: Any, value: Any, indent: int | None = None) -> str:
    """Return a value of a type as JSON."""
    return json.dumps(plain(kind, value), indent=indent)


def decode(kind: type[Value], text: str | bytes) -> Value:
    """Return the value that `encode` wrote.

    Raises pydantic's ValidationError, a ValueError, for a value of another form, and ValueError or
    RecursionError for what is no JSON.
    """
    found: Value = adapter(kind).validate_python(json.loads(text))
    return found


def _number(value: Any) -> Any:
    """Return one of numpy's numbers as Python's."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")
