"""A run's findings as figures, described as data: search/reporting/figure.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np

from search.records.ledger import REFERENCE_RATIO
from search.reporting.figure import Axis, Bars, Figure, HeatMap, Level, Panel, Segment, Series
from search.reporting.findings import Findings, TrialPoint
from search.reporting.scale import CostScale
from spaces.goal import NAMES

# Okabe and Ito, 2008: colours that colour-blind readers tell apart.
COLOURS = {
    "float": "#000000",
    "float16": "#56B4E9",
    "bfloat16": "#E69F00",
    "int8_ptq": "#0072B2",
    "int8_qat": "#009E73",
    "int8_qat_pact": "#CC79A7",
}
RUNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BUDGET_COLOUR = "#D55E00"
FRONT_COLOUR = "#888888"
# Colours of what is neither a precision nor a run: stages of a study, lines over time.
SEQUENCE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
BEFORE, AFTER = "#999999", "#0072B2"
# Opacity of trials that are not feasible: a guess.
FADED = 0.25
# Highest loss that is shown, in budgets: a guess; a few high losses would flatten all others.
SHOWN_BUDGETS = 4.0
# Smallest range of losses that is shown, relative: for a budget of 0. A guess.
LEAST_RANGE = 0.02
# Pixels of a row of a heat map, and of what is around the rows: titles, axis, colour scale.
ROW_HEIGHT, AROUND_ROWS = 22, 174


def shown_losses(losses: Sequence[float], budget: float) -> tuple[float, float]:
    """Return the limits of an axis of losses, in percent."""
    top = max(SHOWN_BUDGETS * budget, LEAST_RANGE)
    inside = [loss for loss in losses if loss <= top]
    low, high = min([0.0, *inside]), max([budget, *inside])
    margin = 0.08 * (high - low)
    return 100 * (low - margin), 100 * (high + margin)


def _loss_axis(runs: Sequence[Findings]) -> Axis:
    """Return an axis for the losses of trials, and of those that were trained in full."""
    losses = [point.metric_loss for found in runs for point in found.points()]
    losses += [plan.metric_loss for found in runs for plan in found.retrained()]
    limits = shown_losses(losses, max(found.budget for found in runs))
    return Axis("metric loss on validation, %", limits=limits)


def _trial_series(
    points: Sequence[TrialPoint], colour: str, name: str | None, whole: float = 1.0, **more: Any
) -> Series:
    """Return trials at their cost as a ratio, or in a unit: `whole` is the baseline's."""
    hover = [
        f"trial {point.number}, {point.verdict}\n{point.precision}, {point.origin}\n"
        f"{point.costs}\n"
        f"loss {100 * point.metric_loss:+.2f} %\n{point.plan}"
        for point in points
    ]
    x = [point.cost * whole for point in points]
    return Series(
        x, [100 * point.metric_loss for point in points], colour, name, hover=hover, **more
    )


def _pareto_front(findings: Findings) -> list[TrialPoint]:
    """Return the trials of the front, that of least cost first."""
    points = [point for point in findings.points() if point.on_front]
    return sorted(points, key=lambda point: point.cost)


def _precision_series(findings: Findings, whole: float) -> Iterator[Series]:
    """Yield the trials of each precision, feasible and faded, then the front's line."""
    points = findings.points()
    for name in dict.fromkeys(point.precision for point in points):
        of_it = [point for point in points if point.precision == name]
        within = [point for point in of_it if point.verdict == "feasible"]
        others = [point for point in of_it if point.verdict != "feasible"]
        for shown, opacity in ((within, 1.0), (others, FADED)):
            if shown:
                listed = name if opacity == 1.0 or not within else None
                yield _trial_series(
                    shown, COLOURS[name], listed, whole, opacity=opacity, group=name
                )
    line = _trial_series(_pareto_front(findings), FRONT_COLOUR, "Pareto front", whole)
    yield replace(line, marker=None, line="steps", hover=())


def _threshold_series(findings: Findings, scale: CostScale) -> Iterator[Series]:
    """Yield the plans of equal-loss thresholds: the measured ones, then the predicted ones."""
    for measured in (True, False):
        found = [t for t in findings.thresholds if t.measured is measured]
        if found:
            yield Series(
                [scale.at(t.cost) for t in found],
                [100 * t.metric_loss for t in found],
                BUDGET_COLOUR,
                "equal-loss thresholds" + ("" if measured else ", predicted"),
                marker="diamond" if measured else "open diamond",
                size=11,
                hover=[
                    f"each group alone may lose {100 * t.threshold:.3g} %\n"
                    f"{'measured' if measured else 'predicted, not tried'}\n"
                    f"{findings.in_words(t.plan)}"
                    for t in found
                ],
            )


def _retrained_series(findings: Findings, scale: CostScale) -> Iterator[Series]:
    """Yield the candidates that were trained in full, each joined to its trial."""
    name = NAMES[findings.config.objective]
    for plan in findings.retrained():
        trial, colour = findings.ledger.records[plan.number], COLOURS[plan.precision]
        x, y = scale.at(plan.cost), 100 * plan.metric_loss
        if plan.trial_loss is not None:
            xs = [scale.at(findings.ledger.cost(trial)), x]
            ys = [100 * plan.trial_loss, y]
            yield Series(xs, ys, colour, marker=None, line="dotted")
        yield Series(
            [x],
            [y],
            colour,
            "delivered" if plan.delivered else "trained in full, over the budget",
            marker="star" if plan.delivered else "cross",
            size=17 if plan.delivered else 10,
            hover=[f"{plan.in_words}\n{name} {plan.cost:.3f}"],
        )


def front(findings: Findings) -> Figure:
    """Return loss against what is minimized: trials, front, baseline, budget, bound, thresholds,
    delivered model."""
    drawn: list[Series] = []
    levels = [Level(100 * findings.budget, BUDGET_COLOUR, "budget")]
    title = NAMES[findings.config.objective]
    if findings.baseline is not None:
        scale = CostScale.of(findings.config, findings.baseline)
        whole, hover = scale.whole, [f"baseline\n{scale.text}"]
        baseline = Series([whole], [0], BEFORE, "baseline", "square", size=12, hover=hover)
        drawn += [*_precision_series(findings, whole), baseline]
        drawn += [*_threshold_series(findings, scale), *_retrained_series(findings, scale)]
        title = scale.title
        if scale.bound is not None:
            levels.append(Level(scale.bound, BUDGET_COLOUR, "bound", "x"))
    panel = Panel(drawn, x=Axis(title, from_zero=True), y=_loss_axis([findings]), levels=levels)
    return Figure([panel], 520)


def progress(findings: Findings) -> Figure:
    """Return the hypervolume, and below it the best ratio of what is minimized, over the search's
    time."""
    points = findings.progress()
    x = [point.minutes for point in points]
    # Percent of the largest possible hypervolume: the whole area below the budget.
    box = findings.budget * REFERENCE_RATIO
    shares = [100 * point.hypervolume / box if box > 0 else 0.0 for point in points]
    ratios = [point.best_ratio for point in points]
    above = Series(x, shares, SEQUENCE[0], marker=None, line="steps")
    below = Series(x, ratios, SEQUENCE[1], marker=None, line="steps")
    minutes = Axis("minutes of search", from_zero=True)
    best = f"best {NAMES[findings.config.objective]} ratio"
    panels = [
        Panel([above], x=Axis(from_zero=True), y=Axis("hypervolume, %", from_zero=True)),
        Panel([below], x=minutes, y=Axis(best, from_zero=True)),
    ]
    return Figure(panels, 420, shared="x")


def groups(findings: Findings) -> Figure | None:
    """Return two heat maps: what the front's plans remove of each group, and each group's
    sensitivity; None before the groups are known."""
    if not findings.groups:
        return None
    pruned, sensitivity = findings.pruned(), findings.sensitivity()
    names = list(pruned.index)
    removed = HeatMap(
        100 * np.asarray(pruned, float),
        names,
        [str(number) for number in pruned.columns],
        "Blues",
        100,
        "{row}\ntrial {column}: {value:.0f} % removed",
    )
    lost = HeatMap(
        100 * np.asarray(sensitivity, float),
        names,
        [f"{100 * ratio:.0f}" for ratio in sensitivity.columns],
        "OrRd",
        100 * max(2 * findings.budget, LEAST_RANGE),
        "{row}\n{column} % removed: {value:.2f} % lost",
        open_ended=True,
    )
    panels = [
        Panel([removed], "removed, %", Axis("trial")),
        Panel([lost], "lost, %", Axis("% removed")),
    ]
    return Figure(panels, max(345, ROW_HEIGHT * len(names) + AROUND_ROWS), shared="y")


def seconds(findings: Findings) -> Figure:
    """Return where the time went: the stages of the study, and those of all trials together."""
    segments = [
        Segment(bar, spent, colour, stage, f"{stage}: {spent:,.0f} s")
        for bar, stages in (
            ("study", findings.stage_seconds),
            ("all trials", findings.trial_seconds()),
        )
        for (stage, spent), colour in zip(stages.items(), cycle(SEQUENCE), strict=False)
        if spent > 0
    ]
    return Figure([Panel([Bars(segments, horizontal=True)], x=Axis("wall seconds"))], 260)


def before_and_after(findings: Findings) -> Figure | None:
    """Return latency and size of the baseline and of the delivered model, and their multiply-adds
    if those were minimized; None before there is a model."""
    if findings.manifest is None:
        return None
    latency, size = findings.manifest.latency_ms, findings.manifest.size_bytes
    shown = [
        ("latency, ms", (latency.baseline, latency.winner)),
        ("size, MB", (size.baseline / 1e6, size.winner / 1e6)),
    ]
    adds = findings.manifest.multiply_adds
    if findings.manifest.objective == "multiply_adds" and adds is not None:
        shown.append(("multiply-adds, million", (adds.baseline / 1e6, adds.winner / 1e6)))
    panels = []
    for title, values in shown:
        segments = [
            Segment(bar, value, colour, f"{value:.3g}", f"{bar}: {value:.4g}")
            for bar, value, colour in zip(("before", "after"), values, (BEFORE, AFTER), strict=True)
        ]
        panels.append(Panel([Bars(segments)], title))
    return Figure(panels, 320)


def figures(findings: Findings) -> dict[str, Figure]:
    """Return the figures that a run has so far, by name."""
    described = {
        "front": front(findings),
        "progress": progress(findings),
        "groups": groups(findings),
        "seconds": seconds(findings),
        "before_and_after": before_and_after(findings),
    }
    return {name: figure for name, figure in described.items() if figure is not None}


def minimized(runs: Sequence[Findings]) -> str:
    """Return what several runs minimized, in words."""
    return " or ".join(dict.fromkeys(NAMES[found.config.objective] for found in runs))


def fronts(runs: Sequence[Findings]) -> Figure:
    """Return the fronts of several runs, by the ratio of what each minimized, each with its
    budget."""
    drawn, levels = [], []
    for found, colour in zip(runs, cycle(RUNS), strict=False):
        rest = [point for point in found.points() if not point.on_front]
        series = [
            _trial_series(rest, colour, None, opacity=FADED),
            _trial_series(_pareto_front(found), colour, found.name, line="steps"),
        ]
        for plan in found.retrained():
            if plan.delivered:
                x, y, text = [plan.cost], [100 * plan.metric_loss], [plan.in_words]
                series.append(Series(x, y, colour, None, "star", size=17, hover=text))
        # Which run a point is of.
        drawn += [
            replace(one, group=found.name, hover=[f"{found.name}\n{text}" for text in one.hover])
            for one in series
        ]
        levels.append(Level(100 * found.budget, colour))
    panel = Panel(
        drawn,
        x=Axis(f"{minimized(runs)} ratio to the run's own baseline", from_zero=True),
        y=_loss_axis(runs),
        levels=levels,
    )
    return Figure([panel], 520)
