"""What a study prints: a line for each stage, a live table of trials, a final table."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from clusters.resources import Resources
from clusters.waiting import Awaited, said_while
from search.records.ledger import Ledger
from search.records.prospects import Prospects
from search.records.trial_record import TrialRecord
from spaces.errors import printable
from spaces.goal import NAMES

# Latest trials in the live table: with the lines above it fits a terminal of 24 lines.
SHOWN_TRIALS = 8
# Indent of a continued line: below the text of a stage's line.
INDENT = 13
# Seconds between lines about a task, where no terminal shows its bar: a guess.
PLAIN_EVERY_S = 30.0


def ratio_text(ratio: float | None) -> str:
    """Return a ratio to the unpruned model's as "0.125 (8.0x)", or a dash."""
    return "-" if not ratio or not isfinite(ratio) else f"{ratio:.3f} ({1 / ratio:.1f}x)"


def costs_text(record: TrialRecord, ledger: Ledger) -> str:
    """Return a trial's latency ratio in words, and its ratio of what is minimized if that is
    another."""
    latency, objective = f"latency {ratio_text(record.result.latency_ratio)}", ledger.goal.objective
    if objective == "latency":
        return latency
    return f"{latency}, {NAMES[objective]} {ratio_text(ledger.cost(record))}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most `width` characters, broken only between words.

    A longer word, such as a path, has a line of its own.
    """
    return "\n".join(
        textwrap.fill(
            line,
            max(width, 2 * INDENT),
            subsequent_indent=" " * (INDENT if line[INDENT - 1 : INDENT] == " " else 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def loss_text(record: TrialRecord, prospects: Prospects) -> str:
    """Return a trial's loss after training in full; "~" marks a predicted one."""
    if record.result.state != "PAUSED":
        return percent(record.result.metric_loss)
    return f"~{percent(float(prospects.predicted([record])[0][0]))}"


def front_shown(ledger: Ledger) -> list[TrialRecord]:
    """Return the Pareto front, that of least cost first: its measured members and the predicted
    ones."""
    return sorted([*Prospects(ledger).predicted_front(), *ledger.front()], key=ledger.order)


def trial_table(records: list[TrialRecord], ledger: Ledger, title: str) -> Group:
    """Return a table of trials, and below it the reasons of those that failed or were stopped.

    The table is at most 79 characters wide: reasons do not fit into it. Losses with "~" are those
    that are predicted after training in full. Where multiply-adds are minimized, their ratio is in
    place of the size.
    """
    arithmetic = ledger.goal.objective == "multiply_adds"
    prospects = Prospects(ledger)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    last = "mult-adds" if arithmetic else "size"
    for name in ("trial", "origin", "precision", "latency", "loss", last, "verdict"):
        left = name in ("origin", "verdict")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    reasons = []
    for record in records:
        result = record.result
        verdict = prospects.verdict(record)
        if result.state in ("STOPPED", "FAILED"):
            reasons.append(Text(printable(f"trial {record.number} {verdict}: {result.reason}")))
        size = "-" if result.size_bytes is None else f"{result.size_bytes / 1e3:,.0f} kB"
        cells = (
            str(record.number),
            record.origin.replace("_", " "),
            record.plan.precisions.value,
            ratio_text(result.latency_ratio),
            loss_text(record, prospects),
            f"{ledger.cost(record):.3f}" if arithmetic else size,
            verdict,
        )
        # As Text: in a string, rich would read brackets as markup.
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return Group(table, *reasons)


def progress_text(ledger: Ledger, left_s: float) -> str:
    """Return how far a search is, and how long it will still take."""
    front, objective = ledger.front(), ledger.goal.objective
    best = ratio_text(ledger.cost(front[0]) if front else None)
    what = "best" if objective == "latency" else f"best {NAMES[objective]}"
    return (
        f"{len(ledger.feasible())} feasible, {len(ledger.failed())} failed, "
        f"{what} {best}, {left_s / 60:.1f} min left"
    )


def _plain(text: str) -> TextColumn:
    """Return a column of a bar with a text, its braces and brackets unchanged."""
    return TextColumn(printable(text).replace("{", "{{").replace("}", "}}"), markup=False)


class Display:
    """Prints live on a terminal, and plain lines to a file or a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def say(self, text: str, *, paste: bool = False) -> None:
        """Print lines; a terminal's are broken between words, unless they are meant to `paste`."""
        text = printable(text)
        if self.console.is_terminal and not paste:
            text = wrapped(text, self.console.width)
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(
        self, unit: str, total: int, asked: Resources | None = None
    ) -> Iterator[Callable[[], None]]:
        """Show how many of `total` are done; calling the yielded function counts one more.

        A terminal shows a bar until it is full, other outputs a line from time to time. Resources
        that each of them asks of a node, `asked`, are named while they are missing.
        """
        awaited = Awaited(unit, asked or {})
        if self.console.is_terminal:
            columns = (TextColumn(" " * 12), BarColumn(), MofNCompleteColumn(), _plain(unit))
            with Progress(
                *columns, TimeRemainingColumn(), console=self.console, transient=True
            ) as progress:
                task = progress.add_task(unit, total=total)
                with said_while(awaited, self.say_below, quiet=True):
                    yield lambda: progress.advance(task)
            return
        done, last_line = 0, time.monotonic()

        def advance() -> None:
            nonlocal done, last_line
            done += 1
            if time.monotonic() - last_line >= PLAIN_EVERY_S and done < total:
                last_line = time.monotonic()
                self.say(f"{'':<12} {done} of {total} {unit}")

        with said_while(awaited, self.say_below):
            yield advance

    @contextmanager
    def waiting(self, text: str, asked: Resources | None = None, pieces: int = 1) -> Iterator[None]:
        """Show that a task of unknown length runs, and for how long it has.

        Resources that each of its `pieces` asks of a node, `asked`, are named while they are
        missing.
        """
        awaited = Awaited(text, asked or {}, pieces)
        if not self.console.is_terminal:
            with said_while(awaited, self.say_below):
                yield
            return
        # No bar: without a known end it would look full.
        columns = (TextColumn(" " * 12), SpinnerColumn(), _plain(text), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            progress.add_task(text, total=None)
            with said_while(awaited, self.say_below, quiet=True):
                yield

    def say_below(self, text: str) -> None:
        """Print a line below the line of its stage."""
        self.say(f"{'':<12} {text}")

    @contextmanager
    def trials(self, ledger: Ledger, planned: int, left_s: Callable[[], float]) -> Iterator[None]:
        """Show the trials of a search as they finish.

        `left_s` returns the seconds until its end.
        """
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[summary]}"),
            console=self.console,
        )
        done = len(ledger.records)
        task = progress.add_task("trials", total=planned, completed=done, summary="")

        def rendered() -> RenderableType:
            latest = sorted(ledger.records.values(), key=lambda r: r.started_at)[-SHOWN_TRIALS:]
            return Group(trial_table(latest, ledger, ""), progress)

        def summary() -> str:
            return progress_text(ledger, max(0.0, left_s()))

        if self.console.is_terminal:
            with Live(rendered(), console=self.console, refresh_per_second=2) as live:

                def show(record: TrialRecord) -> None:
                    progress.update(task, completed=len(ledger.records), summary=summary())
                    live.update(rendered())

                ledger.listeners.append(show)
                yield
                ledger.listeners.remove(show)
        else:

            def print_line(record: TrialRecord) -> None:
                result, prospects = record.result, Prospects(ledger)
                verdict = prospects.verdict(record)
                if result.reason is not None:
                    verdict = f"{verdict} ({result.reason})"
                elif result.fidelity is not None and result.fidelity < 1:
                    verdict = f"{verdict}, {result.fidelity:.0%} trained"
                self.say(
                    f"  trial {record.number:>3} {record.plan.precisions.value:<13} "
                    f"{costs_text(record, ledger):<22} "
                    f"loss {loss_text(record, prospects):>8}  {verdict} | "
                    f"{len(ledger.records)}/{planned}: {summary()}"
                )

            ledger.listeners.append(print_line)
            yield
            ledger.listeners.remove(print_line)
