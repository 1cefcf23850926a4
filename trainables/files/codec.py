"""Typed values to JSON and back, for a run's files, caches, and results sent to the driver."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from spaces.plan import Plan

Value = TypeVar("Value")


def _read_plan(value: Any) -> Plan:
    """Return a plan from its JSON. Raises ValueError if it is not a plan's."""
    if isinstance(value, Plan):
        return value
    try:
        return Plan.from_json(value)
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError("should be a plan: its ratios by group, and its quantization") from error


PlanField = Annotated[Plan, BeforeValidator(_read_plan), PlainSerializer(Plan.to_json)]
"""A plan as a field of a typed value; its JSON is that of plan.json."""

_adapters: dict[Any, TypeAdapter[Any]] = {}


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type, built once."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def plain(kind: Any, value: Any) -> Any:
    """Return a value as mappings, lists, texts, numbers and None."""
    # Tasks give sizes and scales as numpy's numbers; pydantic would warn about them.
    return adapter(kind).dump_python(
        value, mode="json", by_alias=True, fallback=_number, warnings=False
    )


def encode(kind: Any, value: Any, indent: int | None = None) -> str:
    """Return a value as JSON."""
    return json.dumps(plain(kind, value), indent=indent)


def decode(kind: type[Value], text: str | bytes) -> Value:
    """Return the value that `encode` wrote.

    Raises ValueError if the text is not JSON of this type (pydantic's ValidationError is one), and
    RecursionError if it is nested too deep.
    """
    found: Value = adapter(kind).validate_python(json.loads(text))
    return found


def _number(value: Any) -> Any:
    """Return a number of numpy as one of Python."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
