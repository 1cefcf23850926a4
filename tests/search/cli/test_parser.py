"""Errors of all commands: one line and the exit status."""

import traceback

import pytest

from clusters.connect import Cluster
from search import report, run
from search.cli.parser import run_command
from spaces.errors import LINE, ConfigError, StudyError, printable, short, shown
from tests.search.commands import COMMANDS, RayStartsError, ray_starts
from tests.search.made_run import make_run


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setattr("ray.init", ray_starts)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("arguments", [("--colour",), ("a", "b", "c", "d", "--colour=red")])
def test_an_unknown_flag_is_one_line_that_names_the_commands_own_help(name, arguments, capsys):
    if name == "apply":
        arguments = ("quantize", *arguments)
    assert COMMANDS[name].main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"python -m search.{name}" in line
    assert "--help lists what is allowed" in line


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed(name, capsys):
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name].main(["--help"])
    assert ended.value.code == 0
    assert f"python -m search.{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error, status, said",
    [
        (ConfigError("a\nb [/] \x1b[31m" + 999 * "x" + " mend it"), 2, "mend it"),
        (StudyError("no trial was feasible"), 1, "no trial was feasible"),
        (OSError(28, "No space left on device", "/tmp/full"), 2, "/tmp/full: No space left"),
        (OSError("unreadable"), 2, "unreadable"),
    ],
)
def test_an_error_is_one_short_line(error, status, said, capsys):
    def fail(given):
        raise error

    assert run_command(report.build_parser, fail, []) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and line.startswith("error: ")
    assert len(line) <= LINE and line.isprintable()


def test_a_text_that_is_too_long_keeps_its_beginning_and_its_end():
    text = short("trials cannot be " + 999 * "9" + "; give another", 60)
    assert len(text) == 60
    assert text.startswith("trials cannot be 999") and text.endswith("give another")
    assert short("as it\nis") == "as it is"


def test_a_value_is_shown_in_a_few_characters():
    nested = {"a": {"b": {"c": {"d": {}}}}}
    for value in (16**6000, ["x" * 999] * 999, nested, "\x1b" * 99, None):
        assert 0 < len(shown(value)) <= 60
        assert shown(value).isprintable()


def test_letters_of_any_language_are_printed_as_they_are():
    for text in ("größer, 訓練, обучение", "one\ntwo\tthree"):
        assert printable(text) == text


def test_the_task_of_a_run_can_be_checked(tmp_path, no_ray):
    path = make_run(tmp_path / "run")
    with pytest.raises(RayStartsError) as started:
        run.main(["--resume", str(path), "--check-task"])
    assert "report_check" in {frame.name for frame in traceback.extract_tb(started.tb)}
    assert run.main(["--resume", str(tmp_path / "none"), "--check-task"]) == 2


def test_a_cluster_without_a_dashboard():
    without, shown_at = (Cluster(2, 0, 1, at, True).in_words for at in (None, "127.0.0.1:8265"))
    assert without == "1 nodes, 2 cores, 0 GPUs, no dashboard"
    assert "http://127.0.0.1:8265" in shown_at


def test_a_package_that_ends_the_process_ends_no_run_well(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "package_that_leaves"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit(0)")
    assert run.main(["--budget", "0.1", "--task", "package_that_leaves.mine:make"]) == 2
    assert "SystemExit" in capsys.readouterr().err
