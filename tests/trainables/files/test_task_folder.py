"""Relative paths of a task mean the same on every worker."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces.errors import TaskError
from trainables.files import task_folder
from trainables.files.node import Node
from trainables.jobs import node_job
from trainables.loading import study_task
from trainables.settings import TrialSettings

TASK = """
import numpy as np
from tests.helpers.tiny.mine import Mine
from trainables.task import Batch

class Lazy(Mine):
    "Opens its files where it draws batches, by a relative path, as users' code does."
    weights = None

    def __init__(self, data):
        self.data = data

    def eval_batches(self, split, batch_size):
        arrays = np.load(self.data)
        yield Batch((arrays["x"],), arrays["y"])

    train_batches = eval_batches
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder of a command, with a task's module and data; this process is in another
    folder, as a worker is."""
    folder = tmp_path / "home"
    folder.mkdir()
    # A name that no other test imports, since modules stay loaded.
    (folder / f"lazy_{os.getpid()}.py").write_text(TASK)
    np.savez(folder / "d.npz", x=np.ones((2, 1, 14, 14), "float32"), y=np.zeros(2, int))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder
    sys.modules.pop(f"lazy_{os.getpid()}", None)


def lazy(folder, **more):
    spec = f"lazy_{os.getpid()}:Lazy"
    options = {"data": "d.npz"}
    return TrialSettings(
        task=spec,
        run_folder="",
        cache_folder="",
        task_options=options,
        task_folder=str(folder),
        **more,
    )


def test_a_module_and_what_it_opens_later_are_found_by_relative_paths(home):
    task = study_task(lazy(home))
    (batch,) = task.eval_batches("val", 2)
    assert batch.inputs[0].shape == (2, 1, 14, 14)
    assert node_job(lazy(home), Node()) is None


def test_a_missing_file_is_noticed_before_the_first_trial(home):
    (home / "d.npz").unlink()
    assert node_job(lazy(home), Node()).startswith("FileNotFoundError: [Errno 2] No such file")


def test_a_folder_that_is_not_on_the_node_is_named(home):
    away = home.with_name("away")
    home.rename(away)
    with pytest.raises(TaskError, match=f"folder {home}, .* is not on node") as refused:
        study_task(lazy(home))
    assert len(str(refused.value)) <= 300 + len(str(home))


def test_without_relative_paths_the_folder_need_not_be_there(tmp_path):
    settings = TrialSettings(
        task="tests.helpers.tiny.mine:make_task",
        run_folder="",
        cache_folder="",
        task_folder=str(tmp_path / "gone"),
    )
    before = Path.cwd()
    assert study_task(settings).name == "mine"
    assert Path.cwd() == before


def test_relative_paths_in_a_configuration_and_in_its_lists(home):
    for number in range(4):
        Image.new("RGB", (40, 40), (60 * number, 0, 0)).save(home / f"{number}.png")
    (home / "list.txt").write_text("\n".join(f"{n}.png {n % 2}" for n in range(4)))
    (home / "photos").mkdir()
    for split in ("train", "val", "test"):
        lines = "\n".join(f"../{n}.png {n % 2}" for n in range(4))
        (home / "photos" / f"{split}_list.txt").write_text(lines)
    options = {"model": "mobilenet_v2", "weights": "w.pdparams", "data": "photos", "image_size": 32}
    settings = lazy(home).having(task="classification", task_options=options)
    assert len(list(study_task(settings).eval_batches("val", 2))) == 2

    steps = "[ResizeImage: {size: 32}, NormalizeImage: {order: ''}]"
    entry = "name: ImageNetDataset, image_root: ./, cls_label_path: ./list.txt"
    loader = f"{{dataset: {{{entry}, transform_ops: {steps}}}, sampler: {{batch_size: 2}}}}"
    (home / "net.yaml").write_text(
        f"Arch: {{name: MobileNetV1, class_num: 2}}\n"
        f"DataLoader: {{Train: {loader}, Eval: {loader}}}\n"
    )
    options = {"config_file": "net.yaml", "weights": "w.pdparams", "image_size": 32}
    settings = lazy(home).having(task="paddleclas", task_options=options)
    assert len(list(study_task(settings).eval_batches("val", 1))) == 2


def test_a_sent_copy_replaces_a_different_folder_of_the_same_path(home, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.setenv("PWD", str(copy))
    sent = lazy(home, task_folder_sent=True)
    # Files that are not copied are in the folder itself, on nodes that have it.
    (copy / "d.npz").touch()
    assert task_folder.locate(sent) == home
    # The folder lacks a file of the copy: it is another machine's home folder.
    (copy / "mine.py").touch()
    assert task_folder.locate(sent) == copy
    assert task_folder.locate(lazy(home)) == home
    assert task_folder.locate(lazy(tmp_path / "gone", task_folder_sent=True)) == copy
    assert task_folder.locate(lazy(tmp_path / "gone")) is None


def test_a_command_returns_to_its_folder(home):
    before = Path.cwd()
    with task_folder.restored_folder():
        task_folder.enter(lazy(home))
        assert Path.cwd() == home
    assert Path.cwd() == before
