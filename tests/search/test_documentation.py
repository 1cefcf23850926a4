from search.config import RunConfig
from search.documentation import DOCS, PAGES, settings, settings_help
from search.run import build_parser
from search.store import SCHEMAS, table_columns


def test_pages_are_what_the_code_says():
    for name, page in PAGES.items():
        assert (DOCS / name).read_text() == page(), "run python -m search.documentation"


def test_every_setting_has_a_kind_a_default_and_a_meaning():
    found = {name: rest for name, *rest in settings()}
    assert set(found) == set(RunConfig.model_fields)
    assert all(part for rest in found.values() for part in rest)
    assert found["trials"] == ["whole number from 1", "24", "How many plans are tried."]
    assert found["budget"][1] == "to be given"
    assert found["choices"][0].startswith("list of float, bfloat16")


def test_help_lists_every_setting():
    said = build_parser().format_help()
    assert settings_help() in said
    assert all(f"  {name} (" in said for name in RunConfig.model_fields)


def test_every_column_has_a_meaning():
    for _, columns in table_columns().values():
        assert all(meaning for _, _, meaning in columns)
    assert set(table_columns()) == set(SCHEMAS)
