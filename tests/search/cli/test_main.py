"""slimsearch: the commands under one name, with the same messages and exit statuses."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import search
from search.cli.main import COMMANDS, main
from tests.search.commands import COMMANDS as MODULES


@pytest.fixture(autouse=True)
def script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/slimsearch"])


def module_of(name):
    return name.replace("-", "_")


def test_every_command_is_listed(capsys):
    files = Path(search.__file__).parent.glob("*.py")
    commands = {path.stem for path in files if "run_command(build_parser" in path.read_text()}
    assert {module_of(name) for name in COMMANDS} == commands == set(MODULES)
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)
    assert "python -m search.run" in said


@pytest.mark.parametrize("name", [*COMMANDS, "to_onnx"])
def test_each_has_its_own_help_by_the_scripts_name(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: slimsearch {name.replace('_', '-')} ")
    assert f"The same command: python -m search.{module_of(name)}" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake_has_the_message_and_the_status_of_the_module(name, capsys):
    arguments = ["quantize", "--colour"] if name == "apply" else ["--colour"]
    assert MODULES[module_of(name)].main(arguments) == 2
    of_module = capsys.readouterr().err
    assert main([name, *arguments]) == 2
    assert capsys.readouterr().err == of_module
    assert len(of_module.splitlines()) == 1 and f"slimsearch {name}" in of_module


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["rnu"], "'rnu' is not a command; did you mean run?"),
        (["documents"], "slimsearch --help lists them"),
        ([], "COMMAND"),
        (["--budget", "0.1"], "slimsearch --help"),
        (["report", "/nowhere"], "/nowhere: holds no run"),
    ],
)
def test_other_mistakes_are_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_ctrl_c_is_one_line_even_while_the_command_is_imported(monkeypatch, capsys):
    def slow(name):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)

    monkeypatch.setattr(importlib, "import_module", slow)
    assert main(["report", "RUN"]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert "SIGINT" in line


@pytest.mark.parametrize(
    "arguments, unneeded",
    [
        (["--help"], {"ray", "paddle", "optuna", "pandas", "plotly", "matplotlib", "pydantic"}),
        (["run", "--help"], {"ray", "paddle", "optuna", "plotly", "matplotlib"}),
        (["select", "--help"], {"ray", "paddle", "plotly", "matplotlib"}),
        (["report", "--help"], {"paddle", "paddleslim"}),
    ],
)
def test_a_command_imports_nothing_of_the_others(arguments, unneeded):
    script = (
        "import sys; from search.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit: pass\n"
        f"print(sorted({unneeded} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"
