"""Table columns of dataclasses: each field that is annotated as a `Column` is one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from trainables.files.codec import adapter
from trainables.results import Column

Value = TypeVar("Value")
TYPES: dict[type, pa.DataType] = {
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
    bool: pa.bool_(),
    datetime: pa.timestamp("ms", tz="UTC"),
}


def _arrow_type(annotation: Any) -> pa.DataType:
    """Return the Arrow type of a column with this annotation, optional or not."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        annotation = str
    return TYPES[annotation]


_known: dict[type, dict[str, tuple[pa.DataType, str]]] = {}


def columns_of(kind: type) -> dict[str, tuple[pa.DataType, str]]:
    """Return the Arrow type and meaning of each column of a dataclass, by name."""
    if kind not in _known:
        _known[kind] = _read_columns(kind)
    return _known[kind]


def _read_columns(kind: type) -> dict[str, tuple[pa.DataType, str]]:
    found = {}
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        if get_origin(annotation) is Annotated:
            own, *marks = get_args(annotation)
            for mark in marks:
                if isinstance(mark, Column):
                    found[name] = (_arrow_type(own), mark.meaning)
    return found


def cells(value: Any) -> dict[str, Any]:
    """Return the values of a dataclass's columns, by name."""
    return {name: getattr(value, name) for name in columns_of(type(value))}


def read_cells(kind: type[Value], row: Mapping[str, Any], **more: Any) -> Value:
    """Return the dataclass in a row; `more` gives its fields that are no columns.

    Raises ValueError for a row of other types, or without a required column.
    """
    given = {name: row[name] for name in columns_of(kind)}
    value: Value = adapter(kind).validate_python({**given, **more})
    return value
