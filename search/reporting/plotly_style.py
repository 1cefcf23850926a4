"""How all plotly figures look."""

from __future__ import annotations

import plotly.graph_objects as go

from search.reporting.drawing import SEQUENCE


def styled(figure: go.Figure, height: int = 420) -> go.Figure:
    """Set the style of a figure; `height` is in pixels."""
    figure.update_layout(
        template="plotly_white",
        colorway=SEQUENCE,
        height=height,
        margin={"l": 56, "r": 12, "t": 24, "b": 48},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif"},
    )
    return figure


def as_html(lines: str) -> str:
    """Return lines as plotly breaks them."""
    return lines.replace("\n", "<br>")
