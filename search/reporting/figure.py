"""A figure as data, without a drawing library: series, bars and heat maps on panels with axes.

interactive.py renders it for a page, pictures.py as a PNG file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

Marker = Literal["circle", "square", "star", "cross", "diamond", "open diamond"]
Line = Literal["dotted", "steps"]
Colours = Literal["Blues", "OrRd"]


@dataclass(frozen=True)
class Series:
    """Points with markers, joined by a line, or both."""

    x: Sequence[float]
    y: Sequence[float | None]
    """None is a gap."""
    colour: str
    name: str | None = None
    """Text of the legend; without one the series is not listed."""
    marker: Marker | None = "circle"
    line: Line | None = None
    size: float = 9
    """Diameter of a marker, in pixels."""
    opacity: float = 1.0
    hover: Sequence[str] = ()
    """A text of several lines for each point."""
    group: str | None = None
    """Series of one group are shown and hidden together."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar."""

    bar: str
    length: float
    colour: str
    text: str
    hover: str


@dataclass(frozen=True)
class Bars:
    """Bars, each a stack of its segments in order."""

    segments: Sequence[Segment]
    horizontal: bool = False


@dataclass(frozen=True)
class HeatMap:
    """A value for each row and column; NaN is a gap."""

    values: npt.NDArray[Any]
    rows: Sequence[str]
    columns: Sequence[str]
    colours: Colours
    highest: float
    """The value from which the colour stays the same; the lowest is 0."""
    hover: str
    """A format string with {row}, {column} and {value}."""
    open_ended: bool = False
    """Whether values can be higher than `highest`."""


@dataclass(frozen=True)
class Level:
    """A dashed line across a panel at one value of an axis: y, a height, or x."""

    value: float
    colour: str
    text: str = ""
    axis: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Axis:
    title: str = ""
    from_zero: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    drawn: Sequence[Series | Bars | HeatMap]
    title: str = ""
    x: Axis = Axis()
    y: Axis = Axis()
    levels: Sequence[Level] = ()


@dataclass(frozen=True)
class Figure:
    panels: Sequence[Panel]
    height: int
    """Pixels on a page."""
    shared: Literal["x", "y"] | None = None
    """Panels that share x are below each other; all others are side by side."""

    @property
    def grid(self) -> tuple[int, int]:
        """The rows and columns of panels."""
        count = len(self.panels)
        return (count, 1) if self.shared == "x" else (1, count)
