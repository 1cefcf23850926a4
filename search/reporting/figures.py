"""A run's findings as plotly figures, for a page that answers to the pointer.

search/reporting/pictures.py draws the same ones as PNG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.records.ledger import REFERENCE_RATIO
from search.reporting.advice import as_timed
from search.reporting.findings import Findings

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
# Of what is neither a precision nor a run: stages of a study, lines over time.
SEQUENCE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
BEFORE, AFTER = "#999999", "#0072B2"
FADED = 0.25
# Pixels below the heat maps.
SCALE_HEIGHT = 64
# A loss beyond so many budgets would press all others together.
SHOWN_BUDGETS = 4.0


def shown_losses(losses: pd.Series, budget: float) -> tuple[float, float]:
    """Return the losses between which a front is shown, in percent."""
    top = max(SHOWN_BUDGETS * budget, 0.02)
    inside = [loss for loss in losses if loss == loss and loss <= top]
    low, high = min([0.0, *inside]), max([budget, *inside])
    room = 0.08 * (high - low)
    return 100 * (low - room), 100 * (high + room)


def front_losses(findings: Findings, trials: pd.DataFrame) -> pd.Series:
    """Return all losses that a front has points of."""
    retrained = [plan.metric_loss for plan in findings.retrained()]
    losses: pd.Series = pd.Series([*trials["metric_loss"], *retrained], dtype=float)
    return losses


def _styled(figure: go.Figure, height: int = 420) -> go.Figure:
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


def _html(lines: str) -> str:
    return lines.replace("\n", "<br>")


def _hover(trials: pd.DataFrame) -> list[str]:
    return [
        f"<b>trial {row['number']}</b>, {row['verdict']}<br>{row['precision']}, {row['origin']}<br>"
        f"latency {row['latency_ratio']:.3f} ({1 / row['latency_ratio']:.1f}x)<br>"
        f"loss {100 * row['metric_loss']:+.2f} %<br>{_html(row['plan'])}"
        for row in trials.to_dict("records")
    ]


def worst_shown(findings: Findings) -> float:
    """Return the loss in percent from which on the map of sensitivities has one colour."""
    return 100 * max(2 * findings.budget, 0.02)


def dominated_share(findings: Findings, hypervolumes: pd.Series) -> pd.Series:
    """Return hypervolumes in percent of the most there can be: of all that is below the budget."""
    box = findings.budget * REFERENCE_RATIO
    share: pd.Series = hypervolumes * (100 / box if box > 0 else 0.0)
    return share


def _add_retrained(figure: go.Figure, findings: Findings, pace: float) -> None:
    """Add what trials came to that were trained in full, each joined to its trial."""
    for plan in findings.retrained():
        trial = findings.ledger.records[plan.number].result
        x, y = plan.latency_ratio * pace, 100 * plan.metric_loss
        if trial.metric_loss is not None and trial.latency_ratio is not None:
            figure.add_scatter(
                x=[trial.latency_ratio * pace, x],
                y=[100 * trial.metric_loss, y],
                mode="lines",
                line={"color": COLOURS[plan.precision], "dash": "dot"},
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            name="delivered" if plan.delivered else "trained in full, over the budget",
            marker={
                "symbol": "star" if plan.delivered else "x",
                "size": 17 if plan.delivered else 10,
                "color": COLOURS[plan.precision],
                "line": {"color": "#FFFFFF", "width": 1},
            },
            hovertemplate=f"{plan.in_words}<br>latency {plan.latency_ratio:.3f}<extra></extra>",
        )


def _add_thresholds(figure: go.Figure, findings: Findings, pace: float) -> None:
    """Add what equal-loss thresholds would have chosen, measured or predicted."""
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


def front(findings: Findings) -> go.Figure:
    """Return loss against latency: every trial, the front, the delivered model, the budget, the
    baseline, what thresholds would have chosen."""
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
    pace = findings.baseline.latency_ms if findings.baseline is not None else None
    if pace is not None:
        figure.add_scatter(
            x=[pace],
            y=[0.0],
            mode="markers",
            name="baseline",
            marker={"symbol": "square", "size": 12, "color": BEFORE},
            hovertemplate=f"baseline<br>{pace:.2f} ms<extra></extra>",
        )
        _add_thresholds(figure, findings, pace)
        _add_retrained(figure, findings, pace)
    figure.add_hline(
        100 * findings.budget,
        line={"color": BUDGET_COLOUR, "dash": "dash"},
        annotation={"text": "budget", "font": {"color": BUDGET_COLOUR}},
    )
    low, high = shown_losses(front_losses(findings, trials), findings.budget)
    figure.update_yaxes(title="metric loss on validation, %", range=[low, high])
    timed = as_timed(findings.config.latency_batch, findings.config.threads)
    figure.update_xaxes(title=f"latency, ms at {timed}", rangemode="tozero")
    return _styled(figure, 520)


def progress(findings: Findings) -> go.Figure:
    """Return the hypervolume, and below it the best latency ratio, over the search's time."""
    rows = findings.progress()
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.08)
    lines = (
        (dominated_share(findings, rows["hypervolume"]), "hypervolume, %"),
        (rows["best_ratio"], "best latency ratio"),
    )
    for row, ((values, name), colour) in enumerate(zip(lines, SEQUENCE, strict=False), 1):
        figure.add_scatter(
            x=rows["minutes"],
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
    return _styled(figure)


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
    styled = _styled(figure, max(280, 22 * len(names) + 110) + SCALE_HEIGHT)
    return styled.update_layout(margin={"b": 48 + SCALE_HEIGHT})


def time_spent(findings: Findings) -> list[tuple[str, Mapping[str, float]]]:
    """Return the seconds of the study's stages and of all trials', the upper bar last."""
    return [("study", findings.stage_seconds), ("all trials", findings.trial_seconds())]


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
    return _styled(figure, 260)


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
        delivered = [plan for plan in found.retrained() if plan.delivered]
        losses.append(pd.Series([plan.metric_loss for plan in delivered], dtype=float))
        figure.add_scatter(
            x=[plan.latency_ratio for plan in delivered],
            y=[100 * plan.metric_loss for plan in delivered],
            mode="markers",
            marker={"symbol": "star", "size": 17, "color": colour},
            text=[plan.in_words for plan in delivered],
            hovertemplate=f"{found.name}<br>%{{text}}<extra></extra>",
            legendgroup=found.name,
            showlegend=False,
        )
        figure.add_hline(100 * found.budget, line={"color": colour, "dash": "dash", "width": 1})
    budget = max(found.budget for found in runs)
    low, high = shown_losses(pd.concat(losses), budget)
    figure.update_yaxes(title="metric loss on validation, %", range=[low, high])
    figure.update_xaxes(title="latency ratio to the run's own baseline", rangemode="tozero")
    return _styled(figure, 520)
