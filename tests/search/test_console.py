import io

import pytest
from rich.console import Console

from search import console
from search.console import Display, trial_table
from search.records.ledger import Ledger
from search.records.tables import Store
from search.reporting.findings import read_findings
from search.reporting.terminal import say_findings
from spaces.goal import Goal
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import make_run


def display(terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, highlight=False)
    return Display(console), file


def test_a_bar_in_a_log_is_a_line_from_time_to_time(monkeypatch):
    shown, file = display(terminal=False)
    with shown.bar("groups", 3) as advance:
        for _ in range(3):
            advance()
    assert file.getvalue() == "", "a short task prints nothing"
    monkeypatch.setattr(console, "PLAIN_EVERY_S", 0.0)
    with shown.bar("groups", 3) as advance:
        for _ in range(3):
            advance()
    lines = [line.strip() for line in file.getvalue().splitlines()]
    assert lines == ["1 of 3 groups", "2 of 3 groups"]


def test_a_bar_on_a_terminal_counts():
    shown, file = display(terminal=True)
    with shown.bar("groups", 3) as advance:
        for _ in range(3):
            advance()
    assert "3/3" in file.getvalue()


def test_waiting_shows_only_on_a_terminal():
    shown, file = display(terminal=False)
    with shown.waiting("12 models"):
        pass
    assert file.getvalue() == ""
    shown, file = display(terminal=True)
    with shown.waiting("12 models"):
        pass
    assert "12 models" in file.getvalue()


# In an error, a task's name or a path: rich's markup, a terminal's colours, reversed text.
HOSTILE = "KeyError: '[/red] [bold]x[/] [/]' \x1b[31mred\x1b]0;title\x07 \u202eback"


@pytest.mark.parametrize("terminal", [True, False])
def test_foreign_text_is_shown_unchanged(terminal, tmp_path, result, record, open_ledger):
    shown, file = display(terminal)
    ledger = open_ledger()
    shown.say(f"search       {HOSTILE}")
    with shown.trials(ledger, 2, lambda: 90.0):
        ledger.record(record(0, result("FAILED", reason=HOSTILE), origin=HOSTILE))
    shown.say(HOSTILE)
    with shown.bar(HOSTILE, 2) as advance:
        advance()
    with shown.waiting(HOSTILE):
        pass
    shown.console.print(trial_table(list(ledger.records.values()), ledger, "trials"))
    text = file.getvalue()
    assert "[/red] [bold]x[/] [/]" in text
    assert "\x1b[31mred" not in text and "\x1b]0;" not in text
    assert "\x07" not in text and "\u202e" not in text
    assert "\\x1b[31mred" in text
    assert "1.5 min left" in text


def test_a_report_shows_foreign_text_unchanged(tmp_path, result, record):
    run = make_run(tmp_path / "[/] \x1b[31mrun", 2)
    ledger = Ledger.load(Store(run), 0.1, ())
    plan = record(0, result("FAILED")).plan
    ledger.record(record(9, result("COMPLETE", 0.0, 0.1), plan, origin=HOSTILE))
    shown, file = display(terminal=True)
    say_findings(read_findings(str(run)), shown.console)
    text = file.getvalue()
    assert "\x1b[31m" not in text and "\\x1b[31mrun" in text


def records(record, result):
    reason = "FileNotFoundError: [Errno 2] No such file or directory: 'photos/a/long/path.png'"
    plans = [Plan.of({"a": 0.1 * n}, choice) for n, choice in enumerate(QuantizationChoice)]
    done = [
        record(100 + number, result("COMPLETE", 0.05, 0.123, size_bytes=96_834_567), plan, origin)
        for number, (plan, origin) in enumerate(
            zip(
                plans,
                ("warm_start", "neighbour", "sampled", "predicted", "warm_start", "warm_start"),
                strict=True,
            )
        )
    ]
    return [*done, record(200, result("FAILED", reason=reason))], reason


def test_a_failures_reason_is_whole_and_the_table_fits_a_terminal(record, result, open_ledger):
    shown, file = display(terminal=True)
    shown.console.width = 80
    many, reason = records(record, result)
    ledger = open_ledger()
    shown.console.print(trial_table(many, ledger, ""))
    said = " ".join(file.getvalue().split())
    assert f"trial 200 failed: {reason}" in said
    assert "…" not in said and "over budget" not in said
    assert "0.123 (8.1x)" in said and "int8_qat_pact" in said


@pytest.mark.parametrize(
    "objective, said",
    [
        ("latency", "latency 0.500 (2.0x)"),
        ("size", "latency 0.500 (2.0x), size 0.250 (4.0x)"),
        ("multiply_adds", "latency 0.500 (2.0x), multiply-adds -"),
    ],
)
def test_a_log_says_what_is_minimized_beside_the_latency(
    objective, said, record, result, open_ledger
):
    file = io.StringIO()
    ledger = open_ledger(goal=Goal(objective, baseline_bytes=1000))
    with Display(Console(file=file)).trials(ledger, 1, lambda: 60.0):
        ledger.record(record(0, result("COMPLETE", 0.05, 0.5, size_bytes=250)))
    line = file.getvalue()
    # No layers are known here, so no multiply-adds.
    assert f" {said:<22} loss   +5.0 %" in line
    best = {"latency": "best 0.500", "size": "best size 0.250", "multiply_adds": "best multiply"}
    assert best[objective] in line


def test_lines_break_between_words_alone():
    shown, file = display(terminal=True)
    shown.console.width = 40
    path = "/a/folder/whose/name/is/longer-than-a-line/of-this-terminal"
    shown.say(f"{'baseline':<12} evaluated, exported and timed in turn: {path}")
    first, *more, last = file.getvalue().splitlines()
    assert first == "baseline     evaluated, exported and"
    assert all(line.startswith(" " * 13) for line in more) and last.strip() == path
    shown.say(f"  python -m search.select {path} --budget 0.02", paste=True)
    assert file.getvalue().splitlines()[-1] == f"  python -m search.select {path} --budget 0.02"


def test_a_log_has_a_line_a_message():
    shown, file = display(terminal=False)
    shown.say("a word " * 40)
    assert len(file.getvalue().splitlines()) == 1


def test_a_task_without_a_known_end_has_no_bar():
    shown, file = display(terminal=True)
    with shown.waiting("12 models"):
        pass
    assert "━" not in file.getvalue()
