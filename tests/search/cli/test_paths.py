"""Paths of the command line, on other nodes and in other folders."""

import json
from pathlib import Path

import pytest

from search.cli.paths import environment_here, in_task_folder, is_sent, with_absolute_paths
from spaces.errors import ConfigError
from tests.search.cli.test_settings_file import configured

TINY = ("--budget", "0.1")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    return tmp_path


def test_paths_of_settings_start_at_the_current_folder(here):
    (here / "libs").mkdir()
    (here / "needs.txt").touch()
    config = configured(
        *TINY,
        *("--storage", "kept", "-o", "cache=cache"),
        *("-o", "runtime_env={working_dir: ., py_modules: [libs, 's3://b/x.zip'], pip: needs.txt}"),
    )
    assert config.task_folder == str(here)
    assert (config.storage, config.cache) == (str(here / "kept"), str(here / "cache"))
    assert config.runtime_env == {
        "working_dir": str(here),
        "py_modules": [str(here / "libs"), "s3://b/x.zip"],
        "pip": str(here / "needs.txt"),
    }
    # Read again in another folder, nothing changes.
    assert with_absolute_paths(config) == config


def test_what_is_no_path_stays(here):
    config = configured(
        *TINY,
        *("--storage", "s3://bucket/runs"),
        *("-o", "runtime_env={working_dir: 's3://b/code.zip', pip: [numpy]}"),
        *("-o", "task_folder=/data"),
    )
    assert config.storage == "s3://bucket/runs"
    assert config.runtime_env == {"working_dir": "s3://b/code.zip", "pip": ["numpy"]}
    assert config.cache is None and config.task_folder == "/data"


def test_files_to_ship_are_of_the_folder_too(here):
    config = configured(*TINY)
    assert in_task_folder(config, "w.pdparams") == here / "w.pdparams"
    assert in_task_folder(config, "/w.pdparams") == Path("/w.pdparams")


def test_whether_ray_sends_the_folder(here, monkeypatch):
    assert not is_sent(configured(*TINY))
    assert is_sent(configured(*TINY, "-o", "runtime_env={working_dir: .}"))
    (here / "src").mkdir()
    assert not is_sent(configured(*TINY, "-o", "runtime_env={working_dir: src}"))
    # The driver of `ray job submit --working-dir .`
    job = json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job)
    assert is_sent(configured(*TINY))


def test_a_folder_to_send_that_is_not_on_the_machine_where_the_run_is_resumed(here, monkeypatch):
    said = []
    folder = here / "first"
    folder.mkdir()
    monkeypatch.chdir(folder)
    config = configured(*TINY, "-o", "runtime_env={working_dir: .}")
    assert environment_here(config, said.append) == {"working_dir": str(folder)} and not said
    monkeypatch.chdir(here)
    folder.rmdir()
    assert environment_here(config, said.append) == {"working_dir": str(here)}
    assert f"{folder} is not on this machine" in said[0]
    # The copy of this folder stands for the one that is gone.
    assert is_sent(config)


def test_a_folder_to_send_that_was_never_there(here):
    with pytest.raises(ConfigError, match="working_dir 'src' does not exist"):
        configured(*TINY, "-o", "runtime_env={working_dir: src}")
