import ast

from search.apply import build_parser as apply_parser
from search.cli.settings_help import settings_help
from search.cli.task_help import factory_source, tasks_help
from search.run import build_parser
from trainables.loading import BUILT_IN


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
