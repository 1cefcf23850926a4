from search.documentation import PAGES, REFERENCE
from search.records.tables import SCHEMAS, table_columns


def test_pages_are_what_the_code_says():
    for name, page in PAGES.items():
        assert (REFERENCE / name).read_text() == page(), "run python -m search.documentation"


def test_every_column_has_a_meaning():
    for _, columns in table_columns().values():
        assert all(meaning for _, _, meaning in columns)
    assert set(table_columns()) == set(SCHEMAS)


def test_every_field_of_the_manifest_has_a_meaning():
    for line in (REFERENCE / "manifest.md").read_text().splitlines():
        assert not line.startswith("|") or not line.endswith("|  |"), line
