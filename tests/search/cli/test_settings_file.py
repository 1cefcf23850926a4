"""slimsearch.yaml of the folder that a command is given in."""

import pytest

from search import apply, run
from search.cli.settings_file import say_settings_file


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(*arguments, command=run):
    return command.settings_from(command.build_parser().parse_args(arguments))


def test_profile_file_overrides_and_flags_win_over_it(here):
    (here / "slimsearch.yaml").write_text(
        "{budget: 0.1, trials: 5, seed: 1, threads: 2, retries: 7, eval_batch: 10}"
    )
    (here / "profile.yaml").write_text("{threads: 3, retries: 8, eval_batch: 11, seed: 9}")
    (here / "mine.yaml").write_text("{retries: 9, eval_batch: 12}")
    config = configured(
        *("--cluster", "profile.yaml", "-c", "mine.yaml", "-o", "eval_batch=13", "--seed", "4")
    )
    assert (config.budget, config.trials) == (0.1, 5)
    assert (config.threads, config.retries, config.eval_batch, config.seed) == (3, 9, 13, 4)


def test_a_plan_without_a_search_reads_it_too(here):
    (here / "slimsearch.yaml").write_text("{budget: 0.3, finetune_samples: 64}")
    config = configured("uniform", "--ratio", "0.3", command=apply)
    assert (config.budget, config.finetune_samples) == (0.0, 64)


def test_the_task_may_be_in_it_and_its_files_given_by_flags(here):
    (here / "slimsearch.yaml").write_text("{budget: 0.1, task_options: {image_size: 64}}")
    options = configured("--weights", "w.pdparams").task_options
    assert options == {"image_size": 64, "weights": str(here / "w.pdparams")}


def test_its_settings_are_named(here):
    said = []
    say_settings_file(said.append)
    (here / "slimsearch.yaml").write_text("{trials: 5, seed: 1}")
    say_settings_file(said.append)
    assert said == ["settings     slimsearch.yaml of this folder: trials, seed"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("trails: 5", "slimsearch.yaml of this folder: trails is not a setting; did you mean"),
        ("{on: 5}", "slimsearch.yaml of this folder: True is not a setting"),
        ("trials: [", "slimsearch.yaml: not YAML"),
        ("- trials", "slimsearch.yaml: a mapping of settings is expected"),
    ],
)
@pytest.mark.parametrize("command", ["run --budget 0.1", "apply quantize"])
def test_mistakes_in_it_are_one_line_that_names_it(here, capsys, text, said, command):
    (here / "slimsearch.yaml").write_text(text)
    name, *arguments = command.split()
    assert {"run": run, "apply": apply}[name].main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line and len(line) <= 300
