"""A run's findings as PNG files: search/reporting/figures.py's figures, drawn by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.reporting.advice import as_timed
from search.reporting.drawing import (
    AFTER,
    BEFORE,
    BUDGET_COLOUR,
    COLOURS,
    FADED,
    SEQUENCE,
    by_precision,
    dominated_share,
    front_losses,
    pareto_front,
    shown_losses,
    time_spent,
    worst_shown,
)
from search.reporting.findings import Findings, TrialPoint

DPI = 130


def front(findings: Findings) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    trials = findings.points()
    if findings.baseline is not None:
        pace = findings.baseline.latency_ms
        _add_trials(axes, trials, pace)
        axes.scatter([pace], [0], marker="s", s=80, color=BEFORE, label="baseline", zorder=4)
        _add_retrained(axes, findings, pace)
        for measured in (True, False):
            marked = [t for t in findings.thresholds if t.measured is measured]
            if marked:
                axes.scatter(
                    [t.latency_ratio * pace for t in marked],
                    [100 * t.metric_loss for t in marked],
                    marker="D",
                    facecolors=BUDGET_COLOUR if measured else "none",
                    edgecolors=BUDGET_COLOUR,
                    label="equal-loss thresholds" + ("" if measured else ", predicted"),
                )
    axes.axhline(100 * findings.budget, color=BUDGET_COLOUR, linestyle="--")
    axes.set_ylim(*shown_losses(front_losses(findings, trials), findings.budget))
    axes.set_xlim(left=0)
    timed = as_timed(findings.config.latency_batch, findings.config.threads)
    axes.set_xlabel(f"latency, ms at {timed}")
    axes.set_ylabel("metric loss on validation, %")
    _legend(axes)
    return figure


def _add_trials(axes: Axes, trials: Sequence[TrialPoint], pace: float) -> None:
    """Add every trial, those within the budget in full colour, and the line of the front."""
    for precision, rows in by_precision(trials).items():
        within = [t for t in rows if t.verdict == "feasible"]
        others = [t for t in rows if t.verdict != "feasible"]
        for shown, opacity in ((within, 1.0), (others, FADED)):
            axes.scatter(
                [t.latency_ratio * pace for t in shown],
                [100 * t.metric_loss for t in shown],
                color=COLOURS[precision],
                alpha=opacity,
                label=precision if opacity == 1.0 or not within else None,
                s=36,
                zorder=3,
            )
    line = pareto_front(trials)
    axes.step(
        [t.latency_ratio * pace for t in line],
        [100 * t.metric_loss for t in line],
        where="post",
        color="#888888",
        zorder=2,
    )


def _add_retrained(axes: Axes, findings: Findings, pace: float) -> None:
    """Add what trials came to that were trained in full, each joined to its trial."""
    for plan in findings.retrained():
        trial, colour = findings.ledger.records[plan.number].result, COLOURS[plan.precision]
        point = (plan.latency_ratio * pace, 100 * plan.metric_loss)
        if trial.latency_ratio is not None and trial.metric_loss is not None:
            begin = (trial.latency_ratio * pace, 100 * trial.metric_loss)
            axes.plot(*zip(begin, point, strict=True), color=colour, linestyle=":", zorder=2)
        axes.scatter(
            *point,
            marker="*" if plan.delivered else "x",
            s=220 if plan.delivered else 60,
            color=colour,
            label="delivered" if plan.delivered else "trained in full, over the budget",
            zorder=5,
        )


def progress(findings: Findings) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    points = findings.progress()
    volumes = [dominated_share(findings, p.hypervolume) for p in points]
    ratios = [math.nan if p.best_ratio is None else p.best_ratio for p in points]
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, values, name, colour in (
        (upper, volumes, "hypervolume, %", SEQUENCE[0]),
        (lower, ratios, "best latency ratio", SEQUENCE[1]),
    ):
        axes.step([p.minutes for p in points], values, where="post", color=colour)
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
    lower.set_xlabel("minutes of search")
    return figure


def groups(findings: Findings) -> Figure:
    pruned, sensitivity = findings.pruned(), findings.sensitivity()
    figure = Figure(figsize=(10, max(3.0, 0.25 * len(pruned) + 1.8)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    if len(pruned):
        if len(pruned.columns):
            removed = 100 * pruned.to_numpy()
            shown = left.imshow(removed, vmin=0, vmax=100, cmap="Blues", aspect="auto")
            figure.colorbar(shown, ax=left, location="bottom", label="% removed")
        worst = worst_shown(findings)
        lost = 100 * sensitivity.to_numpy()
        shown = right.imshow(lost, vmin=0, vmax=worst, cmap="OrRd", aspect="auto")
        label = f"% lost, {worst:g} or more"
        figure.colorbar(shown, ax=right, location="bottom", label=label)
        left.set_yticks(range(len(pruned)), list(pruned.index), fontsize=7)
        left.set_xticks(range(len(pruned.columns)), list(pruned.columns), fontsize=7)
        tenths = [f"{100 * ratio:.0f} %" for ratio in sensitivity.columns]
        right.set_xticks(range(len(tenths)), tenths, fontsize=7)
    left.set_title("removed, by trial of the front", fontsize=10)
    right.set_title("loss of the group alone", fontsize=10)
    return figure


def seconds(findings: Findings) -> Figure:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot()
    parts = time_spent(findings)
    whole = max([1.0, *(sum(stages.values()) for _, stages in parts)])
    for row, (_, stages) in enumerate(parts):
        begin = 0.0
        for (stage, spent), colour in zip(stages.items(), cycle(SEQUENCE), strict=False):
            axes.barh(row, spent, left=begin, color=colour, edgecolor="white")
            if spent > 0.06 * whole:
                axes.text(begin + spent / 2, row, stage, ha="center", va="center", fontsize=8)
            begin += spent
    axes.set_yticks(range(len(parts)), [name for name, _ in parts])
    axes.set_xlabel("wall seconds")
    return figure


def before_and_after(findings: Findings) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    latency_axes, size_axes = figure.subplots(1, 2)
    manifest = findings.manifest
    if manifest is not None:
        latency, size = manifest.latency_ms, manifest.size_bytes
        for axes, values in (
            (latency_axes, (latency.baseline, latency.winner)),
            (size_axes, (size.baseline / 1e6, size.winner / 1e6)),
        ):
            bars = axes.bar(["before", "after"], values, color=[BEFORE, AFTER])
            axes.bar_label(bars, fmt="%.3g")
    latency_axes.set_title("latency, ms", fontsize=10)
    size_axes.set_title("size, MB", fontsize=10)
    return figure


PICTURES: Mapping[str, Callable[[Findings], Figure]] = {
    "front": front,
    "progress": progress,
    "groups": groups,
    "seconds": seconds,
    "before_and_after": before_and_after,
}


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, names, fontsize=8, framealpha=0.8)


def draw_pictures(findings: Findings) -> Iterator[tuple[str, bytes]]:
    """Yield every figure's name, and the figure as a PNG file."""
    for name, draw in PICTURES.items():
        picture = io.BytesIO()
        draw(findings).savefig(picture, dpi=DPI)
        yield name, picture.getvalue()
