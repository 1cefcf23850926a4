"""A user's mistakes: one line, exit status 2, no traceback, nothing lost."""

import pytest

from search.run import main


def said(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


@pytest.mark.parametrize(
    "arguments, value, mend",
    [
        (["--budget", "-0.1"], "'-0.1'", "greater than or equal to 0"),
        (["--budget", "much"], "'much'", "valid number"),
        (["--budget", "nan"], "'nan'", "finite"),
        (["--budget", "1.5"], "'1.5'", "less than 1"),
        ([], "budget is missing", "--budget 0.1"),
        (["--budget", "0.1", "--trials", "0"], "'0'", "greater than or equal to 1"),
        (["--budget", "0.1", "-o", "colour=red"], "colour", "--help lists them"),
        (["--budget", "0.1", "-o", "trails=4"], "trails is not", "did you mean trials?"),
        (["--budget", "0.1", "-o", "colour"], "'colour'", "key=value"),
        (["--budget", "0.1", "-o", "promotion_factor=1"], "be 1:", "greater than or equal to 2"),
        (["--budget", "0.1", "-o", "choices=[int4]"], "int4", "bfloat16"),
        (["--budget", "0.1", "--colour", "red"], "--colour red", "--help"),
        (["--bugdet", "0.1"], "--bugdet", "did you mean --budget?"),
        (["--budget", "0.1", "--task", "imagenet"], "'imagenet'", "fashion_mnist"),
        (["--budget", "0.1", "--task", "no.such.module:x"], "no.such.module", "install"),
        (["--budget", "0.1", "--config", "/nowhere.yaml"], "/nowhere.yaml", "readable"),
        (["--budget", "0.1", "--out", "/dev/null/run"], "/dev/null/run", "--out"),
        (["--budget", "0.1", "--weights", "/nowhere.npz"], "/nowhere.npz", "no such file"),
        (["--budget", "0.1", "--config-file", "/nowhere.yml"], "/nowhere.yml", "no such file"),
        (["--resume", "/nowhere"], "/nowhere", "name the folder"),
        (["--resume", "/nowhere", "--budget", "0.1"], "budget", "--resume takes"),
    ],
)
def test_mistake_is_one_line_with_value_and_mend(arguments, value, mend, capsys):
    assert main(arguments) == 2
    line = said(capsys)
    assert value in line
    assert mend in line


def test_configuration_file_with_an_unknown_key(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("budget: 0.1\ncolour: red\n")
    assert main(["--config", str(path)]) == 2
    assert "colour is not a setting" in said(capsys)


def test_configuration_file_that_is_no_yaml(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("budget: [0.1\n")
    assert main(["--config", str(path)]) == 2
    assert str(path) in said(capsys)


def test_folder_that_holds_a_run_is_not_written_to(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("budget: 0.2\n")
    assert main(["--budget", "0.1", "--out", str(tmp_path)]) == 2
    assert "--resume" in said(capsys)
    assert (tmp_path / "config.yaml").read_text() == "budget: 0.2\n"


def test_a_tracker_that_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr("search.tune.trackers.find_spec", lambda name: None)
    assert main(["--budget", "0.1", "-o", "trackers=[mlflow]"]) == 2
    assert 'pip install "slimsearch[mlflow]"' in said(capsys)
