"""Delivered models are opened only if all their files are there, as delivered."""

import json

import pytest

from search.cli.delivered import open_delivered
from search.records.manifest import digests
from spaces.errors import RunFolderError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import MANIFEST, finish, make_run

NAMES = [
    f"{model}/inference.{kind}"
    for model in ("model", "baseline")
    for kind in ("pdmodel", "pdiparams")
]


@pytest.fixture
def run(tmp_path):
    run = finish(make_run(tmp_path / "run", 24))
    for name in NAMES:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(name)
    (run / "plan.json").write_text(
        json.dumps(Plan.of({"head.weight": 0.5}, QuantizationChoice.FLOAT).to_json())
    )
    sha256 = digests(run, [run / name for name in NAMES])
    (run / "manifest.json").write_text(json.dumps({**MANIFEST, "sha256": sha256}))
    return run


def test_a_delivered_model_comes_with_its_plan_and_settings(run):
    found = open_delivered(str(run))
    assert found.folder == run and found.config.budget == 0.1
    assert found.plan.ratio("head.weight") == 0.5
    assert found.models == [str(run / "baseline"), str(run / "model")]
    assert found.settings.task_folder_sent is False


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(RunFolderError, match=f"{name} is missing; restore it"):
        open_delivered(str(run))


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_named(run, name):
    (run / name).write_text("another")
    with pytest.raises(RunFolderError, match=f"{name} is not the file that was delivered"):
        open_delivered(str(run))


def test_a_run_without_a_model_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="holds no delivered model"):
        open_delivered(str(make_run(tmp_path / "begun", 2)))
