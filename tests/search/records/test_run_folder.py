import json
import subprocess
import sys

import pytest

from search.config import RunConfig
from search.records.opening import create_plain, create_run, resume_run
from search.records.run_folder import CONFIG, MANIFEST, read_config, run_once
from search.records.tables import Store
from spaces.errors import RunFolderError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import MANIFEST as MANIFEST_READ
from tests.search.made_run import baseline, manifest
from trainables.results import Untimed

# Takes the lock of the folder that is its argument, says so, and keeps it until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from search.records.opening import create_plain, create_run, resume_run
from search.records.run_folder import RunFolder
folder, _ = resume_run(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def config(tmp_path):
    return RunConfig(
        budget=0.1,
        seed=7,
        choices=[QuantizationChoice.INT8_PTQ],
        task_options={"weights": "w.npz"},
        out=str(tmp_path / "run"),
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def folder(config):
    """A new run folder whose process has ended."""
    made = create_run(config)
    made.release()
    return made


def refusal(call, *arguments):
    """Return what the RunFolderError of a call says, which is always one line."""
    with pytest.raises(RunFolderError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_new_folder_holds_its_configuration(config, folder, path):
    assert folder.path == path
    assert read_config(path) == config
    assert not folder.finished
    assert folder.manifest is None


@pytest.mark.parametrize("create", [create_run, create_plain])
@pytest.mark.parametrize("name", ["model/inference.pdmodel", "candidates/000000/x", "notes.txt"])
def test_a_folder_that_holds_anything_does_not_become_a_run(config, path, name, create):
    """A model that is there already would be delivered in place of the winner."""
    (path / name).parent.mkdir(parents=True)
    (path / name).write_text("mine")
    text = refusal(create, config)
    assert f"is not empty ({name.partition('/')[0]} is there)" in text
    assert (path / name).read_text() == "mine"


def test_what_file_systems_leave_in_a_folder_is_nothing(config, path):
    (path / "lost+found").mkdir(parents=True)
    (path / ".snapshot").mkdir()
    create_run(config).release()


def test_without_a_name_the_folder_is_named_after_the_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = create_run(RunConfig(budget=0.1, task="mypkg.mine:make_task"))
    assert folder.path.parent == tmp_path / "runs"
    assert folder.path.name.endswith("-make_task")
    folder.release()


def test_a_second_run_in_a_folder_is_refused(config, folder, path):
    before = (path / CONFIG).read_bytes()
    text = refusal(create_run, config.model_copy(update={"budget": 0.2}))
    assert str(path) in text
    assert "--resume" in text
    assert (path / CONFIG).read_bytes() == before


def test_a_second_run_beside_the_first_is_refused(config):
    first = create_run(config)
    assert "another process" in refusal(create_run, config)
    first.release()


def test_a_file_in_the_way_is_refused(config, path):
    path.write_text("a file")
    assert str(path) in refusal(create_run, config)


def test_a_folder_that_cannot_be_made_is_refused(config):
    # /proc takes no folders, not even of root.
    text = refusal(create_run, config.model_copy(update={"out": "/proc/slimsearch"}))
    assert "/proc/slimsearch" in text


def test_an_unfinished_run_is_resumed_with_its_configuration(config, folder, path):
    resumed, found = resume_run(path)
    assert found == config
    assert resumed.path == path
    resumed.release()


def test_a_finished_run_is_not_resumed(folder, path):
    folder.write_text(MANIFEST, json.dumps(MANIFEST_READ))
    assert folder.finished
    assert folder.manifest == manifest()
    text = refusal(resume_run, path)
    assert str(path) in text
    assert "finished" in text


def test_a_run_of_another_version_is_not_resumed(folder, path):
    folder.finish_stage("format", 0)
    assert "started by another version" in refusal(resume_run, path)
    (path / "stages" / "format.json").unlink()
    assert "started by another version" in refusal(resume_run, path)


def test_where_there_is_no_run_nothing_is_resumed(tmp_path):
    assert str(tmp_path) in refusal(resume_run, tmp_path)
    missing = tmp_path / "none"
    assert str(missing) in refusal(resume_run, missing)
    assert not missing.exists()


def test_a_run_is_locked_while_its_process_lives(folder, path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert "another process" in refusal(resume_run, path)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    # Killed, it could not tidy up; the kernel gave the lock back.
    resumed, _ = resume_run(path)
    resumed.release()


def test_a_released_run_can_be_resumed(folder, path):
    for _ in range(2):
        resumed, _ = resume_run(path)
        resumed.release()


def test_a_stage_is_known_once_it_has_finished(folder, path):
    assert folder.stage("baseline") is None
    folder.finish_stage("baseline", baseline())
    resumed, _ = resume_run(path)
    assert resumed.stage("baseline") == baseline()
    assert resumed.stage("sensitivity") is None
    resumed.release()


def test_a_stage_that_finishes_again_replaces_its_outcome(folder):
    folder.finish_stage("seconds", {"baseline": 1.0})
    folder.finish_stage("seconds", {"baseline": 2.0})
    assert folder.stage("seconds") == {"baseline": 2.0}


def test_a_stage_runs_once_and_a_resumed_run_has_what_it_left(folder, path):
    calls = []

    def compute():
        calls.append("computed")
        return {"group": [(0.5, 0.1)]}

    assert run_once(folder, "sensitivity", compute) == {"group": [(0.5, 0.1)]}
    resumed, _ = resume_run(path)
    assert run_once(resumed, "sensitivity", compute) == {"group": [(0.5, 0.1)]}
    resumed.release()
    assert calls == ["computed"]


@pytest.mark.parametrize("outcome", [[], {}, 0])
def test_a_stage_that_found_nothing_is_not_repeated(folder, outcome):
    run_once(folder, "inspection", lambda: outcome)
    assert run_once(folder, "inspection", lambda: "again") == outcome


def test_a_stage_may_leave_a_type_of_its_own(path, folder):
    """A new stage is a file in search/stages and a line in search/study.py."""
    seen = Untimed(Plan(), "no device")

    def find(run):
        return run_once(run, "inspection", lambda: seen, Untimed)

    assert find(folder) == seen
    (path / "stages" / "inspection.json").write_text('{"reason": 7}')
    with pytest.raises(RunFolderError, match=r"inspection\.json is damaged"):
        find(folder)


def test_a_stage_that_failed_is_tried_again(folder):
    def fail():
        raise RuntimeError("the cluster is gone")

    with pytest.raises(RuntimeError):
        run_once(folder, "inspection", fail)
    assert run_once(folder, "inspection", lambda: [1]) == [1]


def test_an_outcome_that_cannot_be_written_leaves_the_stage_unfinished(folder):
    with pytest.raises(TypeError):
        folder.finish_stage("baseline", baseline(metric=object()))
    assert folder.stage("baseline") is None


def test_a_text_that_was_half_written_is_not_there(path, folder):
    """A killed writer leaves its temporary file, the next one is not bothered by it."""
    (path / "stages" / ".baseline.json.tmp").write_text('{"metric"')
    assert folder.stage("baseline") is None
    folder.finish_stage("baseline", baseline())
    assert folder.stage("baseline") == baseline()
    names = sorted(p.name for p in (path / "stages").iterdir())
    assert names == ["baseline.json", "format.json"]


def test_a_run_that_ended_before_it_had_anything_frees_its_folder(config, folder, path):
    Store(path).create()
    (path / "baseline").mkdir()
    (path / "baseline" / "inference.pdmodel").write_text("half of it")
    folder.discard()
    create_run(config).release()


def test_a_run_that_has_its_baseline_is_kept(config, folder, path):
    folder.finish_stage("baseline", baseline())
    folder.discard()
    assert read_config(path) == config


@pytest.mark.parametrize("content", ["budget: [\n", "", "- budget\n"])
def test_a_configuration_that_was_spoilt_is_refused(folder, path, content):
    (path / CONFIG).write_text(content)
    assert str(path) in refusal(resume_run, path)
