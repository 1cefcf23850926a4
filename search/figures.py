"""A run's findings as plotly figures, for a page that answers to the pointer.

search/pictures.py draws the same ones as PNG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.findings import Findings

# Of Okabe and Ito, 2008: told apart by those who do not see all colours.
COLOURS = {
    "float": "#000000",
    "bfloat16": "#E69F00",
    "int8_ptq": "#0072B2",
    "int8_qat": "#009E73",
    "int8_qat_pact": "#CC79A7",
}
RUNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BUDGET_COLOUR = "#D55E00"
FADED = 0.25
# A loss beyond so many budgets would press all others together.
SHOWN_BUDGETS = 4.0


def shown_losses(losses: pd.Series, budget: float) -> tuple[float, float]:
    """Return the losses between which a front is shown, in percent."""
    top = max(SHOWN_BUDGETS * budget, 0.02)
    inside = [loss for loss in losses if loss == loss and loss <= top]
    low, high = min([0.0, *inside]), max([budget, *inside])
    room = 0.08 * (high - low)
    return 100 * (low - room), 100 * (high + room)


def _styled(figure: go.Figure, height: int = 420) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 56, "r": 12, "t": 24, "b": 48},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hoverlabel={"align": "left"},
        font={"family": "system-ui, sans-serif"},
    )
    return figure


def _html(lines: str) -> str:
    return lines.replace("\n", "<br>")


def _hover(trials: pd.DataFrame) -> list[str]:
    return [
        f"<b>trial {row['number']}</b>, {row['verdict']}<br>{row['precision']}, {row['origin']}<br>"
        f"latency {row['latency_ratio']:.3f} ({1 / row['latency_ratio']:.1f}x)<br>"
        f"loss {100 * row['metric_loss']:+.2f} %<br>{_html(row['plan'])}"
        for row in trials.to_dict("records")
    ]


def front(findings: Findings) -> go.Figure:
    """Return loss against latency: every trial, the front, the budget, the baseline, what
    thresholds would have chosen."""
    trials = findings.trials().dropna(subset=["metric_loss", "latency_ms"])
    figure = go.Figure()
    for precision, rows in trials.groupby("precision", sort=False):
        within = rows["verdict"] == "feasible"
        for shown, opacity in ((rows[within], 1.0), (rows[~within], FADED)):
            if len(shown):
                figure.add_scatter(
                    x=shown["latency_ms"],
                    y=100 * shown["metric_loss"],
                    mode="markers",
                    name=str(precision),
                    legendgroup=str(precision),
                    showlegend=opacity == 1.0 or not within.any(),
                    marker={"color": COLOURS[str(precision)], "size": 9, "opacity": opacity},
                    text=_hover(shown),
                    hovertemplate="%{text}<extra></extra>",
                )
    line = trials[trials["on_front"]].sort_values("latency_ms")
    figure.add_scatter(
        x=line["latency_ms"],
        y=100 * line["metric_loss"],
        mode="lines",
        name="Pareto front",
        line={"color": "#888888", "shape": "hv"},
        hoverinfo="skip",
    )
    pace = findings.baseline["latency_ms"] if findings.baseline is not None else None
    if pace is not None:
        figure.add_scatter(
            x=[pace],
            y=[0.0],
            mode="markers",
            name="baseline",
            marker={"symbol": "star", "size": 15, "color": "#000000"},
            hovertemplate=f"baseline<br>{pace:.2f} ms<extra></extra>",
        )
        for measured in (True, False):
            marked = [t for t in findings.thresholds if t.measured is measured]
            if marked:
                figure.add_scatter(
                    x=[t.latency_ratio * pace for t in marked],
                    y=[100 * t.metric_loss for t in marked],
                    mode="markers",
                    name="equal-loss thresholds" + ("" if measured else ", predicted"),
                    marker={
                        "symbol": "diamond" if measured else "diamond-open",
                        "size": 11,
                        "color": BUDGET_COLOUR,
                    },
                    text=[
                        f"each group alone may lose {100 * t.threshold:.3g} %<br>"
                        f"{'measured' if measured else 'predicted, not tried'}<br>"
                        f"{_html(findings.in_words(t.plan))}"
                        for t in marked
                    ],
                    hovertemplate="%{text}<extra></extra>",
                )
    figure.add_hline(
        100 * findings.budget,
        line={"color": BUDGET_COLOUR, "dash": "dash"},
        annotation={"text": "budget", "font": {"color": BUDGET_COLOUR}},
    )
    low, high = shown_losses(trials["metric_loss"], findings.budget)
    figure.update_yaxes(title="metric loss on validation, %", range=[low, high])
    batch = findings.config.latency_batch
    figure.update_xaxes(title=f"latency, ms a batch of {batch}", rangemode="tozero")
    return _styled(figure, 520)


def progress(findings: Findings) -> go.Figure:
    """Return the hypervolume, and the best latency ratio, over the search's time."""
    rows = findings.progress()
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    shape = {"shape": "hv"}
    figure.add_scatter(
        x=rows["minutes"], y=rows["hypervolume"], name="hypervolume", line=shape, mode="lines"
    )
    figure.add_scatter(
        x=rows["minutes"],
        y=rows["best_ratio"],
        name="best latency ratio",
        line={**shape, "dash": "dot"},
        mode="lines",
        secondary_y=True,
    )
    figure.update_xaxes(title="minutes of search", rangemode="tozero")
    figure.update_yaxes(title="hypervolume", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(title="latency ratio", rangemode="tozero", secondary_y=True, showgrid=False)
    return _styled(figure)


def groups(findings: Findings) -> go.Figure:
    """Return two heat maps side by side: what the front's plans remove of each group, and what
    each group alone loses."""
    pruned, sensitivity = findings.pruned(), findings.sensitivity()
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=("removed", "lost alone"),
    )
    names = list(pruned.index)
    figure.add_heatmap(
        z=pruned.to_numpy(),
        x=[f"trial {number}" for number in pruned.columns],
        y=names,
        zmin=0,
        zmax=1,
        colorscale="Blues",
        showscale=False,
        hovertemplate="%{y}<br>%{x}: %{z:.0%} removed<extra></extra>",
        col=1,
        row=1,
    )
    figure.add_heatmap(
        z=100 * sensitivity.to_numpy(),
        x=[f"{100 * ratio:.0f} %" for ratio in sensitivity.columns],
        y=names,
        zmin=0,
        zmax=100 * max(2 * findings.budget, 0.02),
        colorscale="OrRd",
        showscale=False,
        hovertemplate="%{y}<br>%{x} removed: %{z:.2f} % lost<extra></extra>",
        col=2,
        row=1,
    )
    figure.update_yaxes(autorange="reversed", type="category")
    # Long names would leave a phone nothing for the maps themselves.
    figure.update_yaxes(
        tickvals=names, ticktext=[n if len(n) < 22 else f"…{n[-20:]}" for n in names], col=1
    )
    return _styled(figure, max(280, 22 * len(names) + 110))


def seconds(findings: Findings) -> go.Figure:
    """Return where the time went: the stages of the study, and those of all trials together."""
    figure = go.Figure()
    parts = (("study", findings.stage_seconds), ("all trials", findings.trial_seconds()))
    for whole, stages in parts:
        for stage, spent in stages.items():
            if spent > 0:
                figure.add_bar(
                    y=[whole],
                    x=[spent],
                    name=stage,
                    orientation="h",
                    text=stage,
                    hovertemplate=f"{stage}: {spent:,.0f} s<extra></extra>",
                    showlegend=False,
                    insidetextanchor="middle",
                )
    figure.update_layout(barmode="stack", uniformtext={"minsize": 9, "mode": "hide"})
    figure.update_xaxes(title="wall seconds")
    return _styled(figure, 260)


def before_and_after(findings: Findings) -> go.Figure:
    """Return size and latency of the baseline and of the delivered model."""
    figure = make_subplots(cols=2, subplot_titles=("latency, ms", "size, MB"))
    manifest = findings.manifest
    if manifest is not None:
        latency, size = manifest["latency_ms"], manifest["size_bytes"]
        for column, values in (
            (1, (latency["baseline"], latency["winner"])),
            (2, (size["baseline"] / 1e6, size["winner"] / 1e6)),
        ):
            figure.add_bar(
                x=["before", "after"],
                y=list(values),
                marker={"color": ["#999999", "#0072B2"]},
                text=[f"{value:.3g}" for value in values],
                showlegend=False,
                hovertemplate="%{x}: %{y:.4g}<extra></extra>",
                col=column,
                row=1,
            )
    return _styled(figure, 320)


FIGURES: Mapping[str, Callable[[Findings], go.Figure]] = {
    "front": front,
    "progress": progress,
    "groups": groups,
    "seconds": seconds,
    "before_and_after": before_and_after,
}


def fronts(runs: Sequence[Findings]) -> go.Figure:
    """Return the fronts of several runs in one figure, by latency ratio, each with its budget."""
    figure = go.Figure()
    losses = []
    for found, colour in zip(runs, cycle(RUNS), strict=False):
        trials = found.trials().dropna(subset=["metric_loss", "latency_ratio"])
        losses.append(trials["metric_loss"])
        line = trials[trials["on_front"]].sort_values("latency_ratio")
        rest = trials[~trials["on_front"]]
        figure.add_scatter(
            x=rest["latency_ratio"],
            y=100 * rest["metric_loss"],
            mode="markers",
            marker={"color": colour, "opacity": FADED},
            text=_hover(rest),
            hovertemplate=f"{found.name}<br>%{{text}}<extra></extra>",
            legendgroup=found.name,
            showlegend=False,
        )
        figure.add_scatter(
            x=line["latency_ratio"],
            y=100 * line["metric_loss"],
            mode="lines+markers",
            name=found.name,
            legendgroup=found.name,
            line={"color": colour, "shape": "hv"},
            marker={"size": 9},
            text=_hover(line),
            hovertemplate=f"{found.name}<br>%{{text}}<extra></extra>",
        )
        figure.add_hline(100 * found.budget, line={"color": colour, "dash": "dash", "width": 1})
    budget = max(found.budget for found in runs)
    low, high = shown_losses(pd.concat(losses), budget)
    figure.update_yaxes(title="metric loss on validation, %", range=[low, high])
    figure.update_xaxes(title="latency ratio to the run's own baseline", rangemode="tozero")
    return _styled(figure, 520)
