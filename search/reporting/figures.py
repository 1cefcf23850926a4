"""A run's findings as plotly figures, for a page that answers to the pointer.

search/reporting/pictures.py draws the same ones as PNG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.reporting.drawing import (
    AFTER,
    BEFORE,
    SEQUENCE,
    dominated_share,
    time_spent,
    worst_shown,
)
from search.reporting.findings import Findings
from search.reporting.fronts import front
from search.reporting.plotly_style import styled

# Pixels below the heat maps.
SCALE_HEIGHT = 64


def progress(findings: Findings) -> go.Figure:
    """Return the hypervolume, and below it the best latency ratio, over the search's time."""
    points = findings.progress()
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.08)
    lines = (
        ([dominated_share(findings, p.hypervolume) for p in points], "hypervolume, %"),
        ([p.best_ratio for p in points], "best latency ratio"),
    )
    for row, ((values, name), colour) in enumerate(zip(lines, SEQUENCE, strict=False), 1):
        figure.add_scatter(
            x=[p.minutes for p in points],
            y=values,
            name=name,
            line={"shape": "hv", "color": colour},
            mode="lines",
            showlegend=False,
            row=row,
            col=1,
        )
        figure.update_yaxes(title=name, rangemode="tozero", nticks=6, row=row, col=1)
    figure.update_xaxes(rangemode="tozero")
    figure.update_xaxes(title="minutes of search", row=2, col=1)
    return styled(figure)


def _scale(x: float, worst: float) -> dict[str, object]:
    """Return the scale of a heat map, below it."""
    place = {"orientation": "h", "x": x, "xanchor": "center", "len": 0.46, "thickness": 10}
    ticks = {"tickvals": [0, worst / 2, worst], "tickfont": {"size": 11}}
    return {**place, "y": 0, "yanchor": "top", "ypad": 52, **ticks}


def groups(findings: Findings) -> go.Figure:
    """Return two heat maps side by side: what the front's plans remove of each group, and what
    each group alone loses."""
    pruned, sensitivity = findings.pruned(), findings.sensitivity()
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=("removed, %", "lost, %"),
    )
    names, worst = list(pruned.index), worst_shown(findings)
    figure.add_heatmap(
        z=100 * pruned.to_numpy(),
        x=[str(number) for number in pruned.columns],
        y=names,
        zmin=0,
        zmax=100,
        colorscale="Blues",
        colorbar=_scale(0.235, 100),
        hovertemplate="%{y}<br>trial %{x}: %{z:.0f} % removed<extra></extra>",
        col=1,
        row=1,
    )
    scale = _scale(0.765, worst)
    figure.add_heatmap(
        z=100 * sensitivity.to_numpy(),
        x=[f"{100 * ratio:.0f}" for ratio in sensitivity.columns],
        y=names,
        zmin=0,
        zmax=worst,
        colorscale="OrRd",
        colorbar={**scale, "ticktext": ["0", f"{worst / 2:g}", f"≥ {worst:g}"]},
        hovertemplate="%{y}<br>%{x} % removed: %{z:.2f} % lost<extra></extra>",
        col=2,
        row=1,
    )
    figure.update_annotations(font={"size": 12})
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_xaxes(title="trial", col=1)
    # Every second one: on a phone there is no room for more.
    every_second = [f"{100 * ratio:.0f}" for ratio in sensitivity.columns[::2]]
    figure.update_xaxes(title="% removed", tickvals=every_second, col=2)
    figure.update_yaxes(autorange="reversed", type="category")
    # Long names would leave a phone nothing for the maps themselves.
    figure.update_yaxes(
        tickvals=names, ticktext=[n if len(n) < 22 else f"…{n[-20:]}" for n in names], col=1
    )
    with_scales = styled(figure, max(280, 22 * len(names) + 110) + SCALE_HEIGHT)
    return with_scales.update_layout(margin={"b": 48 + SCALE_HEIGHT})


def seconds(findings: Findings) -> go.Figure:
    """Return where the time went: the stages of the study, and those of all trials together."""
    figure = go.Figure()
    for whole, stages in time_spent(findings):
        for (stage, spent), colour in zip(stages.items(), cycle(SEQUENCE), strict=False):
            if spent > 0:
                figure.add_bar(
                    y=[whole],
                    x=[spent],
                    name=stage,
                    orientation="h",
                    text=stage,
                    marker={"color": colour},
                    hovertemplate=f"{stage}: {spent:,.0f} s<extra></extra>",
                    showlegend=False,
                    insidetextanchor="middle",
                )
    figure.update_layout(barmode="stack", uniformtext={"minsize": 9, "mode": "hide"})
    figure.update_xaxes(title="wall seconds")
    return styled(figure, 260)


def before_and_after(findings: Findings) -> go.Figure:
    """Return size and latency of the baseline and of the delivered model."""
    figure = make_subplots(cols=2, subplot_titles=("latency, ms", "size, MB"))
    manifest = findings.manifest
    if manifest is not None:
        latency, size = manifest.latency_ms, manifest.size_bytes
        for column, values in (
            (1, (latency.baseline, latency.winner)),
            (2, (size.baseline / 1e6, size.winner / 1e6)),
        ):
            figure.add_bar(
                x=["before", "after"],
                y=list(values),
                marker={"color": [BEFORE, AFTER]},
                text=[f"{value:.3g}" for value in values],
                showlegend=False,
                hovertemplate="%{x}: %{y:.4g}<extra></extra>",
                col=column,
                row=1,
            )
    return styled(figure, 320)


FIGURES: Mapping[str, Callable[[Findings], go.Figure]] = {
    "front": front,
    "progress": progress,
    "groups": groups,
    "seconds": seconds,
    "before_and_after": before_and_after,
}
