from search.cli.settings_help import settings, settings_help
from search.config import RunConfig
from search.run import build_parser


def test_every_setting_has_a_kind_a_default_and_a_meaning():
    found = {name: rest for name, *rest in settings()}
    assert set(found) == set(RunConfig.model_fields)
    assert all(part for rest in found.values() for part in rest)
    assert found["trials"] == [
        "whole number from 1",
        "24",
        "How many plans are tried. With `within` it is the most, and 96 by default.",
    ]
    assert found["budget"][1] == "required"
    assert found["choices"][0].startswith("list of float, float16, bfloat16")


def test_help_lists_every_setting():
    said = build_parser().format_help()
    assert settings_help() in said
    assert all(f"\n  {name} (" in said for name in RunConfig.model_fields)
