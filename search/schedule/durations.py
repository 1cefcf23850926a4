"""Durations as people write them: "90s", "30m", "1h30m"."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?", re.ASCII)
_UNITS_S = (3600, 60, 1)
# An estimate may be wrong by as much, so a range that is narrower says nothing. A guess.
NEAR = 0.25


def parse_duration(text: str) -> float:
    """Return the seconds of a text such as "90s", "30m", "2h" or "1h30m", above 0.

    Raises ValueError for any other text.
    """
    found = _DURATION.fullmatch(text.strip())
    parts = found.groups() if found is not None else ()
    seconds = sum(float(p) * unit for p, unit in zip(parts, _UNITS_S, strict=False) if p)
    if not seconds > 0:
        raise ValueError(f"{text[:20]!r} is no time such as 90s, 30m or 1h30m")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration as `parse_duration` reads it; both together change nothing."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{value:.9g}{unit}" for value, unit in parts if value)


def minutes(seconds: float) -> str:
    """Return "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def about(least_s: float, most_s: float) -> str:
    """Return "5 min (4 to 8)": the geometric mean of two durations, and both in its unit.

    If they differ by less than NEAR, the mean alone.
    """
    mean_s = max(0.0, least_s * most_s) ** 0.5
    text = minutes(mean_s)
    if most_s <= (1 + NEAR) * least_s:
        return text
    unit_s, digits = {"s": (1, 0), "min": (60, 0), "h": (3600, 1)}[text.split()[1]]
    return f"{text} ({least_s / unit_s:.{digits}f} to {most_s / unit_s:.{digits}f})"


def _read(value: Any) -> float:
    # A number has no unit: who writes 30 may mean minutes.
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError(
            "duration", "it should be a time with its unit, such as 90s, 30m or 1h30m"
        ) from error


Duration = Annotated[
    float,
    BeforeValidator(_read),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""The type of a setting: a text for users and files, seconds in the program."""
