"""Figures as PNG files, rendered by matplotlib."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from search.reporting.figure import Bars, Figure, HeatMap, Level, Panel, Series
from search.reporting.figures import figures
from search.reporting.findings import Findings

# Dots to an inch: a guess, sharp on a screen.
DPI = 130
# Inches: fits the page of a document. A guess.
WIDTH = 8.5
# Pixels of a page to an inch of a picture.
PIXELS = 100
# Points to a pixel, at 96 pixels to an inch.
POINTS = 0.75
# Marker, and its diameter as a multiple of plotly's: to look as large.
MARKERS = {
    "circle": ("o", 0.9),
    "square": ("s", 1.0),
    "star": ("*", 1.3),
    "cross": ("X", 1.1),
    "diamond": ("D", 0.75),
    "open diamond": ("D", 0.75),
}
LINES: dict[str, dict[str, Any]] = {
    "dotted": {"linestyle": ":"},
    "steps": {"drawstyle": "steps-post"},
}
# Shortest segment of a bar that is labelled, as a share of the longest bar: the text fits.
LABELLED = 0.06


def draw_pictures(findings: Findings) -> Iterator[tuple[str, bytes]]:
    """Yield the figures that a run has so far as PNG files, by name."""
    for name, figure in figures(findings).items():
        picture = io.BytesIO()
        rendered(figure).savefig(picture, dpi=DPI)
        yield name, picture.getvalue()


def rendered(figure: Figure) -> Canvas:
    """Return the figure of matplotlib."""
    canvas = Canvas(figsize=(WIDTH, figure.height / PIXELS), layout="constrained")
    rows, columns = figure.grid
    shared = figure.shared
    panels = canvas.subplots(
        rows, columns, squeeze=False, sharex=shared == "x", sharey=shared == "y"
    )
    for axes, panel in zip(panels.ravel(), figure.panels, strict=True):
        _draw(canvas, axes, panel)
    return canvas


def _draw(canvas: Canvas, axes: Axes, panel: Panel) -> None:
    for item in panel.drawn:
        if isinstance(item, Series):
            _series(axes, item)
        elif isinstance(item, Bars):
            _bars(axes, item)
        else:
            _heat_map(canvas, axes, item)
    for level in panel.levels:
        _level(axes, level)
    axes.set_title(panel.title, fontsize=10)
    for axis, name in ((panel.x, "x"), (panel.y, "y")):
        axes.set(**{f"{name}label": axis.title})
        if axis.from_zero:
            axes.set(**{f"{name}lim": (0, None)})
        if axis.limits is not None:
            axes.set(**{f"{name}lim": axis.limits})
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, framealpha=0.8)


def _level(axes: Axes, level: Level) -> None:
    line: dict[str, Any] = {"color": level.colour, "linestyle": "--", "linewidth": 1.5}
    text: dict[str, Any] = {"s": level.text, "color": level.colour, "ha": "right", "va": "bottom"}
    if level.axis == "x":
        axes.axvline(level.value, **line)
        axes.text(level.value, 0.02, transform=axes.get_xaxis_transform(), rotation=90, **text)
    else:
        axes.axhline(level.value, **line)
        axes.text(1, level.value, transform=axes.get_yaxis_transform(), **text)


def _series(axes: Axes, series: Series) -> None:
    label = series.name or "_"
    y = np.array(series.y, dtype=float)
    if series.line is not None:
        settings = {"color": series.colour, "zorder": 2, **LINES[series.line]}
        axes.plot(series.x, y, label=label, **settings)
    if series.marker is not None:
        shape, size = MARKERS[series.marker]
        filled = not series.marker.startswith("open")
        outlined = series.marker in ("star", "cross")
        axes.scatter(
            series.x,
            y,
            s=(POINTS * size * series.size) ** 2,
            marker=shape,
            facecolors=series.colour if filled else "none",
            edgecolors="white" if outlined else series.colour,
            linewidths=0.8,
            alpha=series.opacity,
            label="_" if series.line else label,
            zorder=3,
        )


def _bars(axes: Axes, bars: Bars) -> None:
    lengths: dict[str, float] = defaultdict(float)
    for segment in bars.segments:
        lengths[segment.bar] += segment.length
    ends: dict[str, float] = defaultdict(float)
    for segment in bars.segments:
        begin, length = ends[segment.bar], segment.length
        ends[segment.bar] += length
        look: dict[str, Any] = {"color": segment.colour, "edgecolor": "white"}
        if bars.horizontal:
            (patch,) = axes.barh(segment.bar, length, left=begin, **look)
            if length > LABELLED * max(lengths.values()):
                axes.annotate(
                    segment.text, (0.5, 0.5), xycoords=patch, ha="center", va="center", fontsize=8
                )
        else:
            axes.bar_label(axes.bar(segment.bar, length, bottom=begin, **look), [segment.text])
    if not bars.horizontal:
        # Room for the text above the highest bar.
        axes.margins(y=0.1)


def _heat_map(canvas: Canvas, axes: Axes, heat: HeatMap) -> None:
    """Draw a heat map with its colour scale below it."""
    if heat.values.size:
        image = axes.imshow(
            heat.values, vmin=0, vmax=heat.highest, cmap=heat.colours, aspect="auto"
        )
        extend = "max" if heat.open_ended else "neither"
        canvas.colorbar(image, ax=axes, location="bottom", extend=extend)
    axes.set_yticks(range(len(heat.rows)), list(heat.rows), fontsize=7)
    axes.set_xticks(range(len(heat.columns)), list(heat.columns), fontsize=7)
