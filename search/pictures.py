"""A run's findings as PNG files: search/figures.py's figures, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.figures import BUDGET_COLOUR, COLOURS, FADED, shown_losses
from search.findings import Findings

DPI = 130


def front(findings: Findings) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    trials = findings.trials().dropna(subset=["metric_loss", "latency_ms"])
    for precision, rows in trials.groupby("precision", sort=False):
        colour = COLOURS[str(precision)]
        within = rows["verdict"] == "feasible"
        for shown, opacity in ((rows[within], 1.0), (rows[~within], FADED)):
            named = str(precision) if opacity == 1.0 or not within.any() else None
            axes.scatter(
                shown["latency_ms"],
                100 * shown["metric_loss"],
                color=colour,
                alpha=opacity,
                label=named,
                s=36,
                zorder=3,
            )
    line = trials[trials["on_front"]].sort_values("latency_ms")
    axes.step(
        line["latency_ms"], 100 * line["metric_loss"], where="post", color="#888888", zorder=2
    )
    if findings.baseline is not None:
        pace = findings.baseline["latency_ms"]
        axes.scatter([pace], [0], marker="*", s=180, color="black", label="baseline", zorder=4)
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
    axes.set_ylim(*shown_losses(trials["metric_loss"], findings.budget))
    axes.set_xlim(left=0)
    axes.set_xlabel(f"latency, ms a batch of {findings.config.latency_batch}")
    axes.set_ylabel("metric loss on validation, %")
    _legend(axes)
    return figure


def progress(findings: Findings) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    rows = findings.progress()
    axes.step(rows["minutes"], rows["hypervolume"], where="post", label="hypervolume")
    axes.set_xlabel("minutes of search")
    axes.set_ylabel("hypervolume")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    best = rows["best_ratio"].astype(float)
    right.step(rows["minutes"], best, where="post", linestyle=":", color="#D55E00")
    right.set_ylabel("best latency ratio (dotted)")
    right.set_ylim(bottom=0)
    return figure


def groups(findings: Findings) -> Figure:
    pruned, sensitivity = findings.pruned(), findings.sensitivity()
    figure = Figure(figsize=(10, max(2.5, 0.25 * len(pruned) + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    if len(pruned):
        if len(pruned.columns):
            left.imshow(pruned.to_numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
        worst = 100 * max(2 * findings.budget, 0.02)
        right.imshow(100 * sensitivity.to_numpy(), vmin=0, vmax=worst, cmap="OrRd", aspect="auto")
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
    parts = (("all trials", findings.trial_seconds()), ("study", findings.stage_seconds))
    whole = max([1.0, *(sum(stages.values()) for _, stages in parts)])
    for row, (_, stages) in enumerate(parts):
        begin = 0.0
        for stage, spent in stages.items():
            axes.barh(row, spent, left=begin, edgecolor="white")
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
        latency, size = manifest["latency_ms"], manifest["size_bytes"]
        for axes, values in (
            (latency_axes, (latency["baseline"], latency["winner"])),
            (size_axes, (size["baseline"] / 1e6, size["winner"] / 1e6)),
        ):
            bars = axes.bar(["before", "after"], values, color=["#999999", "#0072B2"])
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


def write_pictures(findings: Findings, folder: Path) -> list[Path]:
    """Return the PNG files, one a figure, written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in PICTURES.items():
        target = folder / f"{name}.png"
        draw(findings).savefig(target, dpi=DPI)
        written.append(target)
    return written
