"""Figures for a page, rendered by plotly: they answer to the pointer."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.reporting.figure import Axis, Bars, Figure, HeatMap, Panel, Series

MARKERS = {"cross": "x", "open diamond": "diamond-open"}
LINES = {"dotted": {"dash": "dot"}, "steps": {"shape": "hv"}}
# Markers with a white outline: they lie on others.
OUTLINED = ("star", "cross")
# Pixels below heat maps, for their colour scales: a guess.
SCALE_HEIGHT = 64
# Longest name of a row, in characters: a longer one would leave a phone no width for the map.
NAME_LENGTH = 21
# Most columns that are all labelled: a phone has room for no more.
LABELLED = 6


def rendered(figure: Figure) -> go.Figure:
    """Return the figure of plotly."""
    rows, columns = figure.grid
    titles = [panel.title for panel in figure.panels]
    drawn = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=figure.shared == "x",
        shared_yaxes=figure.shared == "y",
        vertical_spacing=0.08,
        horizontal_spacing=_spacing(figure),
        subplot_titles=titles if any(titles) else None,
    )
    drawn.update_annotations(font={"size": 12})
    for index, panel in enumerate(figure.panels):
        row, column = divmod(index, columns)
        _draw(drawn, figure, index, panel, {"row": row + 1, "col": column + 1})
    has_maps = any(isinstance(item, HeatMap) for panel in figure.panels for item in panel.drawn)
    drawn.update_layout(
        template="plotly_white",
        height=figure.height,
        margin={"l": 56, "r": 12, "t": 24, "b": 48 + (SCALE_HEIGHT if has_maps else 0)},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif"},
        barmode="stack",
        uniformtext={"minsize": 9, "mode": "hide"},
    )
    return drawn


def _spacing(figure: Figure) -> float:
    """Return the space between panels side by side, as a share of the width."""
    return 0.06 if figure.shared == "y" else 0.1


def _draw(drawn: go.Figure, figure: Figure, index: int, panel: Panel, at: dict[str, int]) -> None:
    drawn.update_xaxes(**_axis(panel.x), **at)
    drawn.update_yaxes(**_axis(panel.y), **at)
    if figure.shared == "x":
        # Low panels: labels at plotly's usual distance would touch.
        drawn.update_yaxes(nticks=6, **at)
    for item in panel.drawn:
        if isinstance(item, Series):
            drawn.add_trace(_scatter(item), **at)
        elif isinstance(item, Bars):
            for segment in _bars(item):
                drawn.add_trace(segment, **at)
        else:
            width = (1 + _spacing(figure)) / len(figure.panels)
            centre = index * width + (width - _spacing(figure)) / 2
            drawn.add_trace(_heat_map(item, centre, 0.98 * (width - _spacing(figure))), **at)
            drawn.update_xaxes(type="category", tickangle=0, **at)
            if len(item.columns) > LABELLED:
                drawn.update_xaxes(tickvals=list(item.columns[::2]), **at)
            drawn.update_yaxes(autorange="reversed", type="category", **at)
            names = [n if len(n) <= NAME_LENGTH else f"…{n[1 - NAME_LENGTH :]}" for n in item.rows]
            drawn.update_yaxes(tickvals=list(item.rows), ticktext=names, **at)
    for level in panel.levels:
        line = {"color": level.colour, "dash": "dash", "width": 1.5}
        text = {"text": level.text, "font": {"color": level.colour}}
        add = drawn.add_vline if level.axis == "x" else drawn.add_hline
        add(level.value, line=line, annotation=text if level.text else None, **at)


def _axis(axis: Axis) -> dict[str, Any]:
    settings: dict[str, Any] = {"title": axis.title}
    if axis.from_zero:
        settings["rangemode"] = "tozero"
    if axis.limits is not None:
        settings["range"] = list(axis.limits)
    return settings


def _hover(text: str) -> str:
    """Return a text as plotly's HTML, the first line bold."""
    first, *more = html.escape(text, quote=False).split("\n")
    return "<br>".join([f"<b>{first}</b>", *more])


def _scatter(series: Series) -> go.Scatter:
    parts = [p for p, shown in (("lines", series.line), ("markers", series.marker)) if shown]
    outline = {"color": "#FFFFFF", "width": 1} if series.marker in OUTLINED else {}
    marker = {
        "symbol": MARKERS.get(series.marker or "", series.marker),
        "size": series.size,
        "color": series.colour,
        "opacity": series.opacity,
        "line": outline,
    }
    line = {"color": series.colour, **LINES.get(series.line or "", {})}
    hover = {"text": [*map(_hover, series.hover)], "hovertemplate": "%{text}<extra></extra>"}
    return go.Scatter(
        x=series.x,
        y=series.y,
        mode="+".join(parts),
        name=series.name,
        showlegend=series.name is not None,
        legendgroup=series.group,
        marker=marker if series.marker else None,
        line=line if series.line else None,
        **(hover if series.hover else {"hoverinfo": "skip"}),
    )


def _bars(bars: Bars) -> list[go.Bar]:
    along, across = ("x", "y") if bars.horizontal else ("y", "x")
    return [
        go.Bar(
            **{along: [segment.length], across: [segment.bar]},
            orientation="h" if bars.horizontal else "v",
            name=segment.text,
            text=segment.text,
            marker={"color": segment.colour},
            hovertemplate=f"{_hover(segment.hover)}<extra></extra>",
            showlegend=False,
            insidetextanchor="middle" if bars.horizontal else "end",
        )
        for segment in bars.segments
    ]


def _heat_map(heat: HeatMap, centre: float, width: float) -> go.Heatmap:
    """Return a heat map with its colour scale below it; both lengths are shares of the width."""
    ticks = [0, heat.highest / 2, heat.highest]
    texts = ["0", f"{ticks[1]:g}", f"{'≥ ' if heat.open_ended else ''}{ticks[2]:g}"]
    place = {"orientation": "h", "x": centre, "xanchor": "center", "len": width, "thickness": 10}
    below = {"y": 0, "yanchor": "top", "ypad": 52}
    labels = {"tickvals": ticks, "ticktext": texts, "tickfont": {"size": 11}}
    return go.Heatmap(
        z=heat.values,
        x=heat.columns,
        y=heat.rows,
        zmin=0,
        zmax=heat.highest,
        colorscale=heat.colours,
        colorbar={**place, **below, **labels},
        text=[
            [
                _hover(heat.hover.format(row=row, column=column, value=value))
                for column, value in zip(heat.columns, values, strict=True)
            ]
            for row, values in zip(heat.rows, heat.values, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=False,
    )
