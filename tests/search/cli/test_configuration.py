"""The configuration that arguments ask for."""

from pathlib import Path

import pytest

from search import apply, run
from search.cli.configuration import flags_given
from search.run import build_parser, settings_from
from spaces.errors import ConfigError
from trainables.deployment.engines.registry import LISTINGS, Listing


def test_overrides_win_over_the_file_and_flags_over_both(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("budget: 0.1\ntrials: 5\nseed: 1\nthreads: 2\n")
    arguments = ["-c", str(path), "-o", "trials=6", "-o", "seed=2", "--seed", "3"]
    config = settings_from(build_parser().parse_args(arguments))
    assert (config.budget, config.threads, config.trials, config.seed) == (0.1, 2, 6, 3)


def test_files_of_the_task_have_flags_and_paths_that_hold_on_every_node(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--budget", "0.1", "--config-file", "net.yml", "--weights", "~/w.pdparams"]
    arguments += ["-o", "task_options={image_size: 64, config_file: other.yml}"]
    config = settings_from(build_parser().parse_args(arguments))
    assert config.task_options == {
        "image_size": 64,
        "config_file": str(tmp_path / "net.yml"),
        "weights": str(Path("~/w.pdparams").expanduser()),
    }


@pytest.mark.parametrize("command", [run, apply])
def test_help_tells_the_two_configuration_files_apart(command, capsys):
    arguments = ["--help"] if command is run else ["quantize", "--help"]
    with pytest.raises(SystemExit):
        command.build_parser().parse_args(arguments)
    said = " ".join(capsys.readouterr().out.split())
    assert "YAML file of settings of this program" in said
    assert "the model's configuration in its toolkit's format" in said


def test_flags_that_were_not_given_are_absent():
    arguments = build_parser().parse_args(["--trials", "5"])
    assert flags_given(arguments, ("trials", "seed", "unknown")) == {"trials": "5"}


def test_options_of_the_task_must_be_a_mapping():
    arguments = ["--budget", "0.1", "--weights", "w.npz", "-o", "task_options=[1]"]
    with pytest.raises(ConfigError, match="give a mapping"):
        settings_from(build_parser().parse_args(arguments))


def test_an_engine_that_never_has_a_precision_says_so_before_anything_starts(capsys):
    arguments = ("-o", "engine=gpu", "-o", "choices=[float, int8_ptq]")
    assert run.main(["--budget", "0.1", *arguments]) == 2
    assert capsys.readouterr().err.strip() == (
        "error: int8_ptq: engine gpu does not run int8, only float, float16, bfloat16; give "
        "another choice, or an engine that runs it: onednn, tensorrt, openvino, onnxruntime"
    )
    assert run.main(["--budget", "0.1", "-o", "choices=[float16]"]) == 2
    assert capsys.readouterr().err.strip() == (
        "error: float16: engine onednn does not run float16, only float, bfloat16, int8; give "
        "another choice, or an engine that runs it: gpu, tensorrt"
    )
    assert apply.main(["quantize", "-o", "engine=gpu"]) == 2
    assert "int8_ptq: engine gpu does not run int8" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, said",
    [
        (None, "engine=command needs the command"),
        ("no-such-program {model}", "there is no program 'no-such-program'"),
        ("ls", "does not say which model"),
        ("ls {model} {size}", "cannot be read"),
    ],
)
def test_a_command_that_cannot_be_called_says_so_before_anything_starts(command, said, capsys):
    given = ("-o", f"probe_command={command}") if command else ()
    assert run.main(["--budget", "0.1", "-o", "engine=command", *given]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_an_engine_that_is_not_installed_says_so_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setitem(LISTINGS, "openvino", Listing("openvino:RUNTIME", (), ("no_such_engine",)))
    for command, *arguments in ((run, "--budget", "0.1"), (apply, "quantize")):
        assert command.main([*arguments, "-o", "engine=openvino"]) == 2
        assert capsys.readouterr().err == (
            "error: engine openvino needs no_such_engine, which is not installed; "
            'pip install "slimsearch[openvino]", or omit engine\n'
        )
