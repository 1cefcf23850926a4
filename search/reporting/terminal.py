"""A run's findings as lines for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from search.console import front_shown, percent, trial_table
from search.records.manifest import Manifest
from search.reporting.advice import as_timed, gains, no_gain, sizes_line, speedup_line
from search.reporting.findings import Findings
from search.reporting.page import state_line
from search.reporting.scale import goal_line
from spaces.errors import printable

# Reasons that are printed: a terminal has 24 lines.
SHOWN_FAILURES = 5


def say_findings(findings: Findings, console: Console) -> None:
    """Print counts, the Pareto front and, of a finished run, the winner."""
    line = printable(f"{findings.path}: {state_line(findings)}")
    console.print(line, markup=False, soft_wrap=True)
    asked = goal_line(findings.config)
    if asked is not None:
        console.print(asked, markup=False, soft_wrap=True)
    if findings.ledger.damage is not None:
        console.print(printable(findings.ledger.damage), markup=False, soft_wrap=True)
    timed = as_timed(findings.config.latency_batch, findings.config.threads)
    title = f"\nPareto front on val, {timed}"
    console.print(trial_table(front_shown(findings.ledger), findings.ledger, title))
    failed = findings.ledger.failed()
    for record in failed[:SHOWN_FAILURES]:
        console.print(Text(printable(f"trial {record.number} failed: {record.result.reason}")))
    if len(failed) > SHOWN_FAILURES:
        console.print(f"and {len(failed) - SHOWN_FAILURES} more trials failed; the page has them")
    for line in delivered_lines(findings.manifest):
        console.print(Text(printable(line)))


def delivered_lines(manifest: Manifest | None) -> list[str]:
    """Return a delivered model's figures beside the baseline's, a line each."""
    if manifest is None:
        return ["not finished: continue it with --resume"]
    latency, size, adds = manifest.latency_ms, manifest.size_bytes, manifest.multiply_adds
    gained = gains(manifest)
    lines = [
        "delivered:",
        *(
            f"  {manifest.metric.name} on {split.where}: {split.baseline:.4f} to "
            f"{split.winner:.4f} ({percent(split.loss)} loss)"
            for split in manifest.metric.splits()
        ),
        f"  latency: {latency.baseline:.3g} to {latency.winner:.3g} ms at "
        f"{as_timed(latency.batch_size, latency.threads)}, {latency.engine} "
        f"({gained.latency})",
        f"  size: {size.baseline / 1e3:,.0f} to {size.winner / 1e3:,.0f} kB ({gained.size})",
    ]
    if adds is not None and gained.multiply_adds is not None:
        lines.append(
            f"  multiply-adds: {adds.baseline / 1e6:,.1f} to {adds.winner / 1e6:,.1f} million a "
            f"sample ({gained.multiply_adds})"
        )
    lines += [f"  {line}" for line in (sizes_line(manifest), speedup_line(manifest)) if line]
    lines += [f"MISSED: {missed}" for missed in manifest.missed()]
    return [*lines, *filter(None, [no_gain(manifest)])]
