import io

from rich.console import Console

from search import progress
from search.progress import Display


def display(terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, highlight=False)
    return Display(console), file


def test_a_bar_in_a_log_is_a_line_now_and_then(monkeypatch):
    shown, file = display(terminal=False)
    with shown.bar("groups", 3) as advance:
        for _ in range(3):
            advance()
    assert file.getvalue() == "", "quick work says nothing in between"
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
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
