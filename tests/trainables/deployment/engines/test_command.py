"""A command that times models: what it is given, what it may print, and how it fails."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from spaces.errors import ConfigError, TrialError
from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import exported
from trainables.deployment.engines.command import PLACES, Command, arguments_of
from trainables.deployment.engines.registry import chosen_runtime, runtime
from trainables.probe import Effort, NoLease, mean_of_runs, time_in_turn
from trainables.settings import TrialSettings

IMAGES = [np.zeros((3, 1, 14, 14), "float32")]


def written(folder, code):
    """Return a command that runs some Python on the model's folder and the batch."""
    script = folder / "device program.py"
    script.write_text(code)
    return f"{sys.executable} '{script}' {{model}} {{batch}}"


@pytest.fixture
def engine_of(task, tmp_path):
    """Return an engine that some Python times, with the tiny model's export."""
    exported("onednn", task, QuantizationChoice.FLOAT, tmp_path / "model")

    def made(code, timeout_s=600):
        command = written(tmp_path, code)
        return Command(command, timeout_s, runtime("onednn")).load(tmp_path / "model", "float", 1)

    return made


def test_its_last_line_is_the_latency_and_the_local_engine_computes(engine_of, tmp_path):
    engine = engine_of(
        "import os, sys; print('connecting');"
        "print(0.5 * int(sys.argv[2]) if os.listdir(sys.argv[1]) else 0)"
    )
    assert engine.run_ms(IMAGES) == 1.5
    assert engine.run(IMAGES)[0].shape == (3, 10)
    assert engine.configuration.name == "command"
    assert engine.configuration.evaluated_on == "paddle_inference_onednn"


def test_the_probe_reads_what_is_printed_and_not_how_long_it_took(engine_of):
    slow = engine_of("print(40)")
    fast = runtime("onednn").load(slow.folder, "float", 1)
    runs_ms = time_in_turn([slow, fast], [IMAGES], NoLease(), Effort(2, 0.01))[..., 0]
    assert set(runs_ms[:, 0]) == {40.0}
    assert (runs_ms[:, 1] > 0).all() and 40.0 not in runs_ms[:, 1]
    assert mean_of_runs(slow, IMAGES, warmup=1, runs=2).mean_ms == 40


@pytest.mark.parametrize(
    "code, reason",
    [
        ("raise SystemExit('no board')", "exit status 1, no board"),
        ("import sys; sys.exit(3)", "exit status 3, it said nothing"),
        ("print('3.2 ms')", "its last line is '3.2 ms', not milliseconds above 0"),
        ("print(0)", "its last line is '0', not milliseconds above 0"),
        ("print('nan')", "its last line is 'nan', not milliseconds above 0"),
        ("print(-1)", "its last line is '-1', not milliseconds above 0"),
        ("", "its last line is nothing, not milliseconds above 0"),
        ("import time; time.sleep(60)", "no end after 0.5 s"),
    ],
)
def test_a_command_that_gives_no_time_is_one_line(engine_of, code, reason):
    with pytest.raises(TrialError) as found:
        engine_of(code, timeout_s=0.5 if "sleep" in code else 600).run_ms(IMAGES)
    assert str(found.value).endswith(reason)
    assert "\n" not in str(found.value)


def test_of_several_sizes_it_has_to_be_told_which(engine_of):
    wide = [np.zeros((3, 1, 14, 28), "float32")]
    engine = engine_of("import sys; print(sys.argv[3].split('x')[2] if sys.argv[3:] else 7)")
    engine.check_timed([IMAGES])
    with pytest.raises(TrialError, match=r"which of the 2 sizes is timed; add {shape}, which is 1"):
        engine.check_timed([IMAGES, wide])
    told = replace(engine, command=f"{engine.command} {{shape}}")
    told.check_timed([IMAGES, wide])
    runs_ms = time_in_turn([told], [IMAGES, wide], NoLease(), Effort(1, 0.0))
    assert runs_ms.tolist() == [[[14.0, 28.0]]]


def test_it_is_called_twice_before_it_has_failed(engine_of, tmp_path):
    lost = tmp_path / "lost"
    code = f"import pathlib; p = pathlib.Path({str(lost)!r}); seen = p.exists(); p.touch();"
    assert engine_of(f"{code} print(7 if seen else 0)").run_ms(IMAGES) == 7


def test_words_are_arguments_and_no_shell_reads_them():
    given = {"batch": 8, "shape": "1x14x14", "threads": 1, "precision": "float"}
    values = {"model": "/a folder", **given}
    command = "ssh board 'bench now' {model}/inference.pdmodel --batch={batch} ; rm"
    assert arguments_of(command, values) == [
        *("ssh", "board", "bench now", "/a folder/inference.pdmodel", "--batch=8", ";", "rm")
    ]


@pytest.mark.parametrize(
    "command", ["bench", "bench {batch}", "bench '{model}", "bench {model} {nothing}", "{model.x}"]
)
def test_a_command_that_cannot_be_read_is_a_mistake_of_the_user(command):
    with pytest.raises(ConfigError, match="probe_command"):
        arguments_of(command, dict.fromkeys(PLACES, ""))


def test_the_settings_choose_it_and_its_fingerprint_has_the_command(tmp_path):
    settings = TrialSettings(
        run_folder="run", cache_folder=None, engine="command", probe_command="bench {model}"
    )
    chosen = chosen_runtime(settings)
    assert chosen.precisions() == runtime("onednn").precisions()
    other = chosen_runtime(settings.having(probe_command="bench2 {model}"))
    assert len({chosen.describe("float"), other.describe("float")}) == 2
