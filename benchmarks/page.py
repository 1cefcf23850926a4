"""docs/benchmarks.md: every benchmark writes its own table there, between two marks."""

from __future__ import annotations

from pathlib import Path

PAGE = Path("docs/benchmarks.md")
END = "<!-- end of table -->"


def with_table(text: str, name: str, rows: str) -> str:
    """Return the page's text with `rows` as the table `name`.

    Raises ValueError if the page does not have exactly one such table.
    """
    begin = f"<!-- table of {name} -->"
    before, rest = text.split(begin)
    after = rest[rest.index(END) :]
    return f"{before}{begin}\n{rows}\n{after}"


def write_table(name: str, rows: str, page: Path = PAGE) -> None:
    page.write_text(with_table(page.read_text(), name, rows))
