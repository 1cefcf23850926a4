"""A run folder on storage, and this machine's copy of it: on every kind of storage."""

from pathlib import Path

import pytest

from clusters import owner
from clusters.storage import Storage, join
from search.config import RunConfig
from search.context import shipped, trial_settings
from search.records.opening import create_run, resume_run
from search.records.run_folder import CONFIG, JOURNAL, MANIFEST
from search.records.tables import Store
from spaces.errors import ConfigError, RunFolderError, StorageError
from tests.search.made_run import baseline
from trainables.loading import study_task
from trainables.settings import INPUTS


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    # All that are watched here live.
    often = owner.Heartbeat(every_s=0.3, missed=100, settle_s=0.05)
    monkeypatch.setattr(owner, "HEARTBEAT", often)


@pytest.fixture
def config(uri, tmp_path):
    return RunConfig(budget=0.1, storage=uri, out="mine", cache=str(tmp_path / "one"))


def moved(config, tmp_path, monkeypatch):
    """Resume the run with a cache that has none of it, as another machine would."""
    monkeypatch.setattr(
        "search.records.opening.node_cache", lambda given: Path(tmp_path / "elsewhere")
    )
    return resume_run(join(config.storage, "mine"))


SENSITIVITY = {"group": "a", "ratio": 0.5, "metric": 0.9, "metric_loss": 0.1}


def test_another_machine_has_all_that_was_finished(config, tmp_path, monkeypatch):
    run = create_run(config)
    run.finish_stage("baseline", baseline())
    store = Store(run.folder)
    store.create()
    store.write("sensitivity", "a", [SENSITIVITY])
    run.release()
    resumed, found = moved(config, tmp_path, monkeypatch)
    assert found == config
    assert tmp_path / "elsewhere" in resumed.path.parents
    assert resumed.stage("baseline") == baseline()
    assert len(Store(resumed.folder).read("sensitivity")) == 1
    assert resumed.node_path == run.node_path
    resumed.release()


def test_what_this_machine_had_beyond_the_storage_does_not_count(config):
    run = create_run(config)
    store = Store(run.folder)
    store.create()
    store.write("sensitivity", "a", [SENSITIVITY])
    (run.path / "sensitivity" / "b.parquet").write_bytes(b"of before")
    (run.path / JOURNAL).write_text("of before")
    run.release()
    resumed, _ = resume_run(join(config.storage, "mine"))
    assert [path.name for path in (resumed.path / "sensitivity").iterdir()] == ["a.parquet"]
    assert not (resumed.path / JOURNAL).exists()
    resumed.release()


def test_a_second_driver_is_refused_and_told_who_is_first(config):
    run = create_run(config)
    for second in (
        lambda: resume_run(join(config.storage, "mine")),
        lambda: create_run(config),
    ):
        with pytest.raises(RunFolderError, match=r"process \d+ on") as caught:
            second()
        assert "\n" not in str(caught.value)
    run.release()


def test_a_run_that_is_there_is_not_begun_again(config):
    create_run(config).release()
    with pytest.raises(RunFolderError, match="--resume"):
        create_run(config)
    # And it was let go again.
    resumed, _ = resume_run(join(config.storage, "mine"))
    resumed.release()


def test_a_finished_run_is_not_resumed(config):
    run = create_run(config)
    run.write_text(MANIFEST, "{}")
    run.release()
    with pytest.raises(RunFolderError, match="is finished"):
        resume_run(join(config.storage, "mine"))


def test_what_ray_kept_is_forgotten_everywhere(config):
    run = create_run(config)
    storage = run.folder.storage
    storage.write("ray/retrain-000001/.marker", b"")
    storage.write("ray/retrain-000001/weights", b"1")
    (run.path / "ray").mkdir()
    run.delete_folder("ray")
    assert storage.read("ray/retrain-000001/weights") is None
    assert not (run.path / "ray").exists()
    run.delete_folder("ray")
    run.release()


def test_what_is_there_already_is_not_taken_for_the_runs_own(config, tmp_path):
    storage = Storage(join(config.storage, "mine"), say=lambda text: None)
    storage.create()
    storage.write("model/inference.pdmodel", b"another's")
    with pytest.raises(RunFolderError, match="is not empty"):
        create_run(config)
    storage.delete("model/inference.pdmodel")
    run = create_run(config)
    (run.path / "model").mkdir()
    run.discard()
    run.release()
    # Nor is what this machine has of a run that is gone from the storage.
    again = create_run(config)
    assert not (again.path / "model").exists()
    again.release()


def test_a_run_without_a_baseline_is_discarded(config):
    run = create_run(config)
    run.discard()
    run.release()
    create_run(config).release()


def test_the_runs_name_is_a_name(config):
    with pytest.raises(ConfigError, match="plain name"):
        create_run(config.model_copy(update={"out": "/tmp/there"}))


def test_a_storage_that_cannot_be_had_is_said_before_anything(tmp_path):
    (tmp_path / "file").write_text("")
    config = RunConfig(budget=0.1, storage=str(tmp_path / "file"), out="mine")
    with pytest.raises(StorageError, match="cannot be written to"):
        create_run(config)


def test_without_a_name_it_is_named_after_the_task(config):
    run = create_run(config.model_copy(update={"out": None}))
    assert run.address.partition("?")[0].endswith("-fashion_mnist")
    assert Storage(run.address).read(CONFIG) is not None
    run.release()


def test_weights_reach_a_node_that_does_not_see_them(config, tiny_weights, tmp_path):
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(tiny_weights.read_bytes())
    options = {"weights": str(mine)}
    config = config.model_copy(
        update={"task": "tests.helpers.tiny.mine:make_task", "task_options": options}
    )
    run = create_run(config)
    sent = shipped(config, run)
    assert sent == {"weights": f"{INPUTS}/weights/mine.safetensors"}
    mine.unlink()
    # Known from before, though the file is gone from here.
    assert shipped(config, run) == sent
    settings = trial_settings(config, run).having(shipped=sent, cache_folder=str(tmp_path / "b"))
    study_task(settings, run.files).build_model()
    run.release()
