import ast

from search.apply import build_parser as apply_parser
from search.cli.task_help import factory_source, tasks_help
from search.config import RunConfig
from search.documentation import PAGES, REFERENCE, settings, settings_help
from search.records.tables import SCHEMAS, table_columns
from search.run import build_parser
from trainables.loading import BUILT_IN


def test_pages_are_what_the_code_says():
    for name, page in PAGES.items():
        assert (REFERENCE / name).read_text() == page(), "run python -m search.documentation"


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
    assert all(f"\n  {name} (" in said for name in RunConfig.model_fields)


def test_every_column_has_a_meaning():
    for _, columns in table_columns().values():
        assert all(meaning for _, _, meaning in columns)
    assert set(table_columns()) == set(SCHEMAS)


def test_every_field_of_the_manifest_has_a_meaning():
    for line in (REFERENCE / "manifest.md").read_text().splitlines():
        assert not line.startswith("|") or not line.endswith("|  |"), line


def test_help_lists_the_options_of_every_built_in_task(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = build_parser().format_help()
    assert tasks_help() in said and tasks_help() in apply_parser().format_help()
    options = "(model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32)"
    assert f"classification {options}" in " ".join(said.split())
    lines = tasks_help().splitlines()[1:] + settings_help().splitlines()[1:]
    assert max(map(len, lines)) <= 80
    for spec in BUILT_IN.values():
        factory = factory_source(spec)
        meaning = ast.get_docstring(factory)
        assert all(f"`{argument.arg}`" in meaning for argument in factory.args.args), spec
