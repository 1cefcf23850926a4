"""Checks of the options of an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spaces.errors import TaskError, shown


def names(value: str | Sequence[str], option: str) -> tuple[str, ...]:
    """Return the names of tensors; one alone may be given without a list."""
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Sequence) or not all(isinstance(name, str) for name in found):
        raise TaskError(f"task_options.{option} {shown(value)} is not a list of tensors' names")
    return tuple(found)


def chance(value: Any, option: str) -> float:
    """Return a number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise TaskError(f"task_options.{option} {shown(value)} is not between 0 and 1; give 0.5")
    return float(value)


def count(value: Any, option: str) -> int:
    """Return a whole number above 0."""
    if not _is_whole(value):
        raise TaskError(f"task_options.{option} {shown(value)} is not a whole number above 0")
    return int(value)


def flag(value: Any, option: str) -> bool:
    if not isinstance(value, bool):
        raise TaskError(f"task_options.{option} {shown(value)} is not true or false")
    return value


def numbers(value: Any, option: str) -> tuple[float, ...]:
    """Return one number, or one for each channel."""
    found = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        return tuple(map(float, found))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"task_options.{option} {shown(value)} is not a number, or one for each channel"
        ) from error


Size = tuple[int, int]
"""Height and width."""


def pair(value: Any) -> Size:
    """Return height and width."""
    found = [value, value] if _is_whole(value) else value
    is_pair = isinstance(found, Sequence) and len(found) == 2
    if not is_pair or not all(map(_is_whole, found)):
        raise TaskError(
            f"size {shown(value)} is not one or two numbers of pixels (height, width); give 480, "
            "[480, 640] or several, [[480, 480], [480, 640]]"
        )
    return int(found[0]), int(found[1])


def pairs(value: Any) -> tuple[Size, ...]:
    """Return each height and width of one size, or of a list of sizes."""
    several = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    if not several or any(map(_is_whole, value)):
        return (pair(value),)
    found = tuple(map(pair, value))
    for index, size in enumerate(found):
        if size in found[:index]:
            raise TaskError(f"size {list(size)} is given twice; leave one out")
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
