"""What a study shows while it goes: a line a stage, a live table of trials, a closing table."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
from search.records.ledger import Ledger, is_feasible
from search.records.trial_record import TrialRecord
from spaces.errors import printable

SHOWN_TRIALS = 8
# Where a line that goes on in the next one is indented to: below the text of a stage's line.
INDENT = 13
# Seconds between lines about one long work, where there is no terminal to show a bar on.
PLAIN_EVERY_S = 30.0


def ratio_text(ratio: float | None) -> str:
    """Return a latency ratio as "0.125 (8.0x)", or a dash."""
    return "-" if not ratio else f"{ratio:.3f} ({1 / ratio:.1f}x)"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most `width` characters, broken between words alone.

    A word that is longer, such as a path, has a line of its own.
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


def trial_table(records: list[TrialRecord], budget: float, title: str) -> Group:
    """Return a table of trials, a row each, and below it why those that did not end well did not.

    The table is at most 79 characters wide, and no reason would fit into it.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("trial", "origin", "precision", "latency", "loss", "size", "verdict"):
        left = name in ("origin", "verdict")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    reasons = []
    for record in records:
        result = record.result
        verdict = "feasible" if is_feasible(result, budget) else "over budget"
        if result.state != "COMPLETE":
            verdict = result.state.lower()
            reasons.append(Text(printable(f"trial {record.number} {verdict}: {result.reason}")))
        cells = (
            str(record.number),
            record.origin.replace("_", " "),
            record.plan.quantization.value,
            ratio_text(result.latency_ratio),
            percent(result.metric_loss),
            "-" if result.size_bytes is None else f"{result.size_bytes / 1e3:,.0f} kB",
            verdict,
        )
        # As Text: in a string rich would read the brackets of an error as markup.
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return Group(table, *reasons)


def _plain(text: str) -> TextColumn:
    """Return a column of a bar that shows a text as it is."""
    return TextColumn(printable(text).replace("{", "{{").replace("}", "}}"), markup=False)


class Display:
    """Writes to the terminal: live where it is one, plain lines where it is a file or a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def say(self, text: str, *, paste: bool = False) -> None:
        """Print lines; on a terminal broken between words, unless they are there to `paste`."""
        text = printable(text)
        if self.console.is_terminal and not paste:
            text = wrapped(text, self.console.width)
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(
        self, unit: str, total: int, asked: Resources | None = None
    ) -> Iterator[Callable[[], None]]:
        """Show how many of `total` are done; what is given counts one more.

        A bar on a terminal, that goes when it is full; elsewhere a line now and then. `asked` is
        what each of them asks of a node: what is missing is said.
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
        done, told = 0, time.monotonic()

        def advance() -> None:
            nonlocal done, told
            done += 1
            if time.monotonic() - told >= PLAIN_EVERY_S and done < total:
                told = time.monotonic()
                self.say(f"{'':<12} {done} of {total} {unit}")

        with said_while(awaited, self.say_below):
            yield advance

    @contextmanager
    def waiting(self, text: str, asked: Resources | None = None, pieces: int = 1) -> Iterator[None]:
        """Show that work goes on whose share done is not known, and for how long it has.

        `asked` is what each of its `pieces` asks of a node: what is missing is said.
        """
        awaited = Awaited(text, asked or {}, pieces)
        if not self.console.is_terminal:
            with said_while(awaited, self.say_below):
                yield
            return
        # No bar: one whose end is not known looks full.
        columns = (TextColumn(" " * 12), SpinnerColumn(), _plain(text), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            progress.add_task(text, total=None)
            with said_while(awaited, self.say_below, quiet=True):
                yield

    def say_below(self, text: str) -> None:
        """Say a line that belongs to the stage named before it."""
        self.say(f"{'':<12} {text}")

    @contextmanager
    def trials(self, ledger: Ledger, planned: int) -> Iterator[None]:
        """Show the trials of a search as they finish."""
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[summary]}"),
            console=self.console,
        )
        before = len(ledger.records)
        task = progress.add_task("trials", total=planned, completed=before, summary="")
        start = time.monotonic()

        def rendered() -> RenderableType:
            latest = sorted(ledger.records.values(), key=lambda r: r.started_at)[-SHOWN_TRIALS:]
            return Group(trial_table(latest, ledger.budget, ""), progress)

        def summary() -> str:
            done = len(ledger.records)
            best = ledger.front()
            fastest = best[0].result.latency_ratio if best else None
            each = (time.monotonic() - start) / max(1, done - before)
            left = max(0, planned - done) * each
            return (
                f"{len(ledger.feasible())} feasible, {len(ledger.failed())} failed, "
                f"best {ratio_text(fastest)}, {left / 60:.1f} min left"
            )

        if self.console.is_terminal:
            with Live(rendered(), console=self.console, refresh_per_second=2) as live:

                def show(record: TrialRecord) -> None:
                    progress.update(task, completed=len(ledger.records), summary=summary())
                    live.update(rendered())

                ledger.listeners.append(show)
                yield
                ledger.listeners.remove(show)
        else:

            def tell(record: TrialRecord) -> None:
                result = record.result
                verdict = "feasible" if is_feasible(result, ledger.budget) else "infeasible"
                if result.state != "COMPLETE":
                    verdict = f"{result.state.lower()} ({result.reason})"
                self.say(
                    f"  trial {record.number:>3} {record.plan.quantization.value:<13} "
                    f"latency {ratio_text(result.latency_ratio):<14} "
                    f"loss {percent(result.metric_loss):>8}  {verdict} | "
                    f"{len(ledger.records)}/{planned}: {summary()}"
                )

            ledger.listeners.append(tell)
            yield
            ledger.listeners.remove(tell)
