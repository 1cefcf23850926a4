"""A run's findings, or several runs side by side, as one HTML file without links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from search.console import front_shown, loss_text, percent, ratio_text
from search.records.manifest import LatencyFigures, Manifest
from search.records.prospects import Prospects
from search.reporting.advice import (
    as_timed,
    budget_in_numbers,
    gains,
    next_steps,
    no_gain,
    ratios_by_size,
)
from search.reporting.figure import Figure
from search.reporting.figures import figures, fronts, minimized
from search.reporting.findings import Findings
from search.reporting.interactive import rendered
from search.reporting.scale import bounds_text, goal_line
from spaces.goal import NAMES
from spaces.mixing import Int8Costs, put_back_order
from spaces.plan import Plan

# Titles and captions; {cost} is what the run minimized.
TITLES = {
    "front": (
        "Loss against {cost}",
        "Every measured trial at its loss after training in full, predicted where it lacks that; "
        "faded ones lack it, are over the budget, or exceed a bound. The stepped line is the "
        "Pareto front. Diamonds are the plans that equal-loss thresholds choose, as in PaddleX and "
        "PaddleSlim.",
    ),
    "progress": (
        "How the search went",
        "The hypervolume is the share of the area below the budget and the baseline's {cost} that "
        "the feasible trials dominate.",
    ),
    "groups": (
        "What was pruned",
        "Left: the channels that each plan of the front removes from each group. Right: the loss "
        "when only that group is pruned, without training.",
    ),
    "seconds": (
        "Where the time went",
        "Trials run in parallel: their seconds can add up to more than the search's.",
    ),
    "before_and_after": ("Before and after", "The unpruned model and the delivered one."),
}

# Layers in the table of what INT8 costs: more than are ever put back. A guess.
SHOWN_LAYERS = 12


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    warning: str | None = None


def _figure(name: str, title: str, about: str, figure: Figure) -> dict[str, str]:
    options = {"responsive": True, "displayModeBar": False}
    html = to_html(
        rendered(figure),
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{name}",
        config=options,
    )
    return {"title": title, "about": about, "html": html}


def state_line(findings: Findings) -> str:
    """Return the state of a run, and how its trials ended."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in findings.counts().items())
    most = "at most " if findings.config.within is not None else ""
    done = f"{len(findings.ledger.records)} of {most}{findings.config.trials} trials"
    state = "Finished" if findings.manifest is not None else "Not finished yet"
    return f"{state}: {done}, {counts}; hypervolume {findings.ledger.hypervolume():.4f}."


def winner_table(manifest: Manifest) -> Table:
    """Return the delivered model's figures beside the baseline's, on validation and on test."""
    latency, size, adds = manifest.latency_ms, manifest.size_bytes, manifest.multiply_adds
    gained = gains(manifest)
    rows = [
        (
            f"{manifest.metric.name}, {split.where}",
            f"{split.baseline:.4f}",
            f"{split.winner:.4f}",
            f"{percent(split.loss)} loss (± {100 * split.standard_error:.1f})",
        )
        for split in manifest.metric.splits()
    ]
    rows += [
        (
            f"latency, ms at {as_timed(latency.batch_size, latency.threads)}",
            f"{latency.baseline:.2f}",
            f"{latency.winner:.2f}",
            gained.latency,
        ),
        *((f"latency ratio at {at}", "1.00", found, "") for at, found in ratios_by_size(manifest)),
        (
            "size, MB",
            f"{size.baseline / 1e6:.2f}",
            f"{size.winner / 1e6:.2f}",
            gained.size,
        ),
    ]
    if adds is not None and gained.multiply_adds is not None:
        both = (f"{adds.baseline / 1e6:,.1f}", f"{adds.winner / 1e6:,.1f}")
        rows.append(("multiply-adds of a sample, million", *both, gained.multiply_adds))
    warnings = [no_gain(manifest), *(f"A bound is missed: {one}." for one in manifest.missed())]
    if not manifest.metric.within_budget_on_test:
        warnings += [
            f"On the test split the model loses more than the budget of {manifest.budget:.1%}."
        ]
    warning = " ".join(filter(None, warnings)) or None
    return Table("The delivered model", ("", "before", "after", ""), rows, warning)


def front_table(findings: Findings) -> Table:
    in_full = {
        plan.number: percent(plan.metric_loss) + (", delivered" if plan.delivered else "")
        for plan in findings.retrained()
    }
    prospects = Prospects(findings.ledger)
    arithmetic = findings.config.objective == "multiply_adds"
    rows = [
        (
            str(record.number),
            record.plan.precisions.value,
            ratio_text(record.result.latency_ratio),
            f"{record.fidelity:.0%}",
            loss_text(record, prospects),
            in_full.get(record.number, "-"),
            "-" if record.result.size_bytes is None else f"{record.result.size_bytes / 1e6:.2f}",
            *((f"{findings.ledger.cost(record):.3f}",) if arithmetic else ()),
        )
        for record in front_shown(findings.ledger)
    ]
    timed = as_timed(findings.config.latency_batch, findings.config.threads)
    columns = (
        "trial",
        "precision",
        f"latency ratio at {timed}",
        "trained",
        "loss on validation, ~ predicted after training in full",
        "after the retrain",
        "size, MB",
        *(("multiply-adds ratio",) if arithmetic else ()),
    )
    return Table("The front", columns, rows)


def about_front(findings: Findings) -> str:
    """Return the caption of the front, with the trials that were trained in full."""
    lines = [TITLES["front"][1]]
    for plan in findings.retrained():
        mark = "the star" if plan.delivered else "a cross: over the budget"
        lines.append(f"{plan.in_words} ({mark}).")
    return " ".join(lines)


def layers_table(int8: Int8Costs, delivered: Plan | None) -> Table:
    """Return what INT8 costs and brings in the layers of the unpruned model, in the order in which
    they are put back to float, and those in float in the `delivered` plan."""
    costs = {cost.layer: cost for cost in int8.layers}
    order = put_back_order(int8.layers)[:SHOWN_LAYERS]
    rows = [
        (
            name,
            percent(int8.metric_loss - (costs[name].metric_loss or 0.0)),
            f"{costs[name].damage:.1e}",
            percent((costs[name].latency_ratio or 1.0) - 1),
            "float" if delivered is not None and name in delivered.float_layers else "",
        )
        for name in order
    ]
    columns = (
        f"of {len(costs)} layers",
        f"loss less with it in float, of {percent(int8.metric_loss)}",
        "damage to the outputs",
        "time that INT8 saves in it",
        "delivered in",
    )
    return Table("What INT8 costs in each layer", columns, rows)


def failures_table(findings: Findings, shown: int = 5) -> Table:
    """Return why trials failed, the most common reasons first."""
    rows = [(reason, str(count)) for reason, count in findings.failures().items()]
    more = sum(findings.failures().values()) - sum(int(count) for _, count in rows[:shown])
    if more:
        rows[shown:] = [("other reasons", str(more))]
    return Table("Why trials failed", ("reason", "trials"), rows)


def _page(**parts: Any) -> str:
    environment = Environment(loader=PackageLoader("search.reporting"), autoescape=True)
    return environment.get_template("report.html").render(plotly=get_plotlyjs(), **parts)


def _settings(findings: Findings) -> dict[str, str]:
    text = yaml.safe_dump(findings.config.model_dump(mode="json"), sort_keys=False)
    return {"name": findings.name, "text": text}


def run_page(findings: Findings, address: str) -> str:
    """Return the page of one run, with what it has found so far."""
    baseline, manifest = findings.baseline, findings.manifest
    summary = [state_line(findings)]
    if findings.ledger.damage is not None:
        summary.append(f"Row files {findings.ledger.damage}.")
    if findings.gave_up is not None:
        summary.append(f"It ended without a model: {findings.gave_up}")
    asked = goal_line(findings.config)
    if asked is not None:
        summary.append(asked)
    cost = NAMES[findings.config.objective]
    tables = []
    shown = []
    if baseline is not None:
        summary.append(budget_in_numbers(baseline, findings.budget))
    if manifest is not None:
        tables.append(winner_table(manifest))
    if front_shown(findings.ledger):
        tables.append(front_table(findings))
    if findings.int8 is not None:
        tables.append(layers_table(findings.int8, findings.delivered()))
    if findings.failures():
        tables.append(failures_table(findings))
    for name, figure in figures(findings).items():
        title, about = (text.format(cost=cost) for text in TITLES[name])
        about = about_front(findings) if name == "front" else about
        shown.append(_figure(name, title, about, figure))
    return _page(
        title=f"{findings.config.task}: {findings.name}",
        summary=summary,
        tables=tables,
        figures=shown,
        excluded=baseline.excluded if baseline is not None else (),
        steps=next_steps(address, manifest is not None, findings.journal),
        configurations=[_settings(findings)],
    )


def _ratio_as_timed(latency: LatencyFigures) -> str:
    return f"{ratio_text(latency.ratio)} at {as_timed(latency.batch_size, latency.threads)}"


def comparison_table(runs: Sequence[Findings]) -> Table:
    """Return the runs' figures, a column for each run."""

    def line(name: str, cells: Sequence[str]) -> tuple[str, ...]:
        return (name, *cells)

    best = [found.ledger.front()[:1] for found in runs]
    delivered = [found.manifest for found in runs]
    rows = [
        line("task", [found.config.task for found in runs]),
        line("budget", [f"{100 * found.budget:g} %" for found in runs]),
        line("minimized", [NAMES[found.config.objective] for found in runs]),
        line("bounds", [bounds_text(found.config) or "-" for found in runs]),
        line("trials", [str(len(found.ledger.records)) for found in runs]),
        line("feasible", [str(len(found.ledger.feasible())) for found in runs]),
        line("hypervolume", [f"{found.ledger.hypervolume():.4f}" for found in runs]),
        line(
            "best trial within the budget, its ratio of what was minimized",
            [
                ratio_text(found.ledger.cost(one[0])) if one else "-"
                for found, one in zip(runs, best, strict=True)
            ],
        ),
        line(
            "delivered latency ratio",
            ["-" if d is None else _ratio_as_timed(d.latency_ms) for d in delivered],
        ),
        line(
            "delivered size, MB",
            ["-" if d is None else f"{d.size_bytes.winner / 1e6:.2f}" for d in delivered],
        ),
        line(
            "loss on test",
            ["-" if d is None else percent(d.metric.loss_test) for d in delivered],
        ),
    ]
    return Table("Side by side", ("", *[found.name for found in runs]), rows)


def comparison_page(runs: Sequence[Findings]) -> str:
    """Return a page of several runs: their fronts in one figure, their numbers in one table."""
    about = (
        "Lines are Pareto fronts, dashed lines budgets, stars the delivered models after their "
        "full training. Ratios are to each run's own baseline: compare only runs of one "
        "model on one machine."
    )
    return _page(
        title=" / ".join(found.name for found in runs),
        summary=[f"{found.name}: {state_line(found)}" for found in runs],
        tables=[comparison_table(runs)],
        figures=[_figure("fronts", f"Loss against {minimized(runs)}", about, fronts(runs))],
        excluded=(),
        steps=(),
        configurations=[_settings(found) for found in runs],
    )
