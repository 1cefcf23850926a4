"""A run folder is left in order, however its study ends."""

import pytest

from search.cli import interrupts, launch
from search.config import RunConfig
from search.records.run_folder import RunFolder
from spaces.errors import ConfigError, RunFolderError, StorageError, StudyError
from tests.search.made_run import make_run


@pytest.fixture(autouse=True)
def not_interrupted(monkeypatch):
    """An earlier test of this process may have ended with a signal."""
    monkeypatch.setattr(interrupts, "current", interrupts.Interrupts())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def study(monkeypatch):
    """Have a study end as the test says; return what it was called with."""
    calls = []

    def ends(how):
        def run_study(config, folder, display, *, dry, began):
            calls.append((config, folder, dry))
            if isinstance(how, Exception):
                raise how
            return how

        monkeypatch.setattr(launch, "run_study", run_study)
        return calls

    return ends


def start(out):
    launch.launch(RunConfig(budget=0.1, out=str(out)), None, {}, dry=False)


def is_free(out):
    folder = RunFolder(out)
    folder.acquire()
    folder.release()
    return True


def test_a_delivered_model_is_printed_and_the_folder_released(out, study, capsys):
    study("the/model")
    start(out)
    assert capsys.readouterr().out.endswith("model: the/model\n")
    assert (out / "config.yaml").is_file() and is_free(out)


@pytest.mark.parametrize(
    "error, stays",
    [
        (ConfigError("no such engine"), False),
        (StorageError("storage is away"), True),
        (RunFolderError("cannot be written"), True),
        (StudyError("every trial failed"), True),
    ],
)
def test_a_mistake_before_the_baseline_discards_the_run(out, study, error, stays):
    study(error)
    with pytest.raises(type(error)):
        start(out)
    assert (out / "config.yaml").exists() is stays and is_free(out)


def test_an_interrupted_run_is_not_discarded(out, study, monkeypatch):
    monkeypatch.setattr(interrupts.current, "received", 2)
    study(ConfigError("the cluster does not answer"))
    with pytest.raises(ConfigError):
        start(out)
    assert (out / "config.yaml").exists()
    assert interrupts.current.advice() == f"carry on with --resume {out}"


def test_a_full_disk_names_the_folder_and_how_to_continue(out, study):
    study(OSError(28, "No space left on device"))
    with pytest.raises(RunFolderError, match=f"free space, then continue with --resume {out}"):
        start(out)


def test_a_resumed_run_has_its_settings_but_for_those_that_moved(tmp_path, study):
    calls = study("the/model")
    path = make_run(tmp_path / "run", planned=7)
    launch.launch(None, str(path), {"concurrency": "3"}, dry=True)
    ((config, folder, dry),) = calls
    assert (config.trials, config.concurrency, dry) == (7, 3, True)
    assert folder.path == path and is_free(path)
