"""Where the benchmarks write their tables."""

import json

import pytest

from benchmarks import faults
from benchmarks.delivered import figures as delivered_figures
from benchmarks.delivered import ocr
from benchmarks.delivered import part as delivered_part
from benchmarks.models import searches, table
from benchmarks.page import PAGE, with_table, write_table
from benchmarks.summary import parts_table

TEXT = """before
<!-- table of one -->
old
<!-- end of table -->
between
<!-- table of two -->
kept
<!-- end of table -->
after
"""


def test_a_table_replaces_the_one_of_its_name_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    write_table("one", "new", page)
    assert page.read_text() == TEXT.replace("old", "new")


def test_a_table_without_its_marks_is_an_error():
    with pytest.raises(ValueError):
        with_table(TEXT, "three", "new")


def read(name):
    return json.loads((PAGE.parents[1] / "bench" / name).read_text())


def rows_of(name):
    """Return the rows as the benchmark writes them from the committed figures."""
    if name == "parts":
        return parts_table(read("summary.json"))
    if name == "delivered":
        return delivered_figures.table(
            delivered_part.read(PAGE.parents[1] / "bench/delivered.json")
        )
    if name == "ocr":
        return ocr.table(delivered_part.read(PAGE.parents[1] / ocr.TARGET))
    if name == "faults":
        return faults.rows(read("faults.json")["faults"])
    if name == "make models":
        return "\n".join([table.HEADER, *map(table.line, read("models.json")["models"])])
    if name == "searches":
        return "\n".join([searches.HEADER, *map(searches.line, read("searches.json")["searches"])])
    return (PAGE.parents[1] / "bench" / "table.md").read_text().rstrip("\n")


@pytest.mark.parametrize(
    "name", ["make bench", "delivered", "ocr", "parts", "make models", "searches", "faults"]
)
def test_the_page_has_the_committed_figures(name):
    text = PAGE.read_text()
    assert with_table(text, name, rows_of(name)) == text
