"""Loss against latency as plotly figures: of one run, and of several in one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import plotly.graph_objects as go

from search.reporting.advice import as_timed
from search.reporting.drawing import (
    BEFORE,
    BUDGET_COLOUR,
    COLOURS,
    FADED,
    RUNS,
    by_precision,
    front_losses,
    pareto_front,
    shown_losses,
)
from search.reporting.findings import Findings, TrialPoint
from search.reporting.plotly_style import as_html, styled


def _hover(trials: Sequence[TrialPoint]) -> list[str]:
    return [
        f"<b>trial {t.number}</b>, {t.verdict}<br>{t.precision}, {t.origin}<br>"
        f"latency {t.latency_ratio:.3f} ({1 / t.latency_ratio:.1f}x)<br>"
        f"loss {100 * t.metric_loss:+.2f} %<br>{as_html(t.plan)}"
        for t in trials
    ]


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
                    f"{as_html(findings.in_words(t.plan))}"
                    for t in marked
                ],
                hovertemplate="%{text}<extra></extra>",
            )


def _add_trials(figure: go.Figure, trials: Sequence[TrialPoint], pace: float) -> None:
    """Add every trial, those within the budget in full colour, and the line of the front."""
    for precision, rows in by_precision(trials).items():
        within = [t for t in rows if t.verdict == "feasible"]
        others = [t for t in rows if t.verdict != "feasible"]
        for shown, opacity in ((within, 1.0), (others, FADED)):
            if shown:
                figure.add_scatter(
                    x=[t.latency_ratio * pace for t in shown],
                    y=[100 * t.metric_loss for t in shown],
                    mode="markers",
                    name=precision,
                    legendgroup=precision,
                    showlegend=opacity == 1.0 or not within,
                    marker={"color": COLOURS[precision], "size": 9, "opacity": opacity},
                    text=_hover(shown),
                    hovertemplate="%{text}<extra></extra>",
                )
    line = pareto_front(trials)
    figure.add_scatter(
        x=[t.latency_ratio * pace for t in line],
        y=[100 * t.metric_loss for t in line],
        mode="lines",
        name="Pareto front",
        line={"color": "#888888", "shape": "hv"},
        hoverinfo="skip",
    )


def front(findings: Findings) -> go.Figure:
    """Return loss against latency: every trial, the front, the delivered model, the budget, the
    baseline, what thresholds would have chosen."""
    trials = findings.points()
    figure = go.Figure()
    if findings.baseline is not None:
        pace = findings.baseline.latency_ms
        _add_trials(figure, trials, pace)
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
    return styled(figure, 520)


def fronts(runs: Sequence[Findings]) -> go.Figure:
    """Return the fronts of several runs in one figure, by latency ratio, each with its budget."""
    figure = go.Figure()
    losses: list[float] = []
    for found, colour in zip(runs, cycle(RUNS), strict=False):
        trials = found.points()
        losses += [t.metric_loss for t in trials]
        line, rest = pareto_front(trials), [t for t in trials if not t.on_front]
        figure.add_scatter(
            x=[t.latency_ratio for t in rest],
            y=[100 * t.metric_loss for t in rest],
            mode="markers",
            marker={"color": colour, "opacity": FADED},
            text=_hover(rest),
            hovertemplate=f"{found.name}<br>%{{text}}<extra></extra>",
            legendgroup=found.name,
            showlegend=False,
        )
        figure.add_scatter(
            x=[t.latency_ratio for t in line],
            y=[100 * t.metric_loss for t in line],
            mode="lines+markers",
            name=found.name,
            legendgroup=found.name,
            line={"color": colour, "shape": "hv"},
            marker={"size": 9},
            text=_hover(line),
            hovertemplate=f"{found.name}<br>%{{text}}<extra></extra>",
        )
        delivered = [plan for plan in found.retrained() if plan.delivered]
        losses += [plan.metric_loss for plan in delivered]
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
    low, high = shown_losses(losses, budget)
    figure.update_yaxes(title="metric loss on validation, %", range=[low, high])
    figure.update_xaxes(title="latency ratio to the run's own baseline", rangemode="tozero")
    return styled(figure, 520)
