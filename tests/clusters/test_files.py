"""Files made on one node and fetched on another, each a folder here."""

import threading

import pytest

from clusters import files
from clusters.files import SharedFiles
from clusters.storage import Storage
from spaces.errors import StorageError


@pytest.fixture
def shared(uri):
    Storage(uri).create()
    return SharedFiles(uri)


@pytest.fixture
def made(tmp_path):
    """A node with a baseline in its folder."""
    node = tmp_path / "one"
    (node / "baseline").mkdir(parents=True)
    (node / "baseline" / "inference.pdmodel").write_text("model")
    return node


def test_another_node_has_it_after_it_was_kept(shared, made, tmp_path):
    shared.upload(made, "baseline")
    shared.fetch(tmp_path / "two", "baseline")
    assert (tmp_path / "two" / "baseline" / "inference.pdmodel").read_text() == "model"


def test_it_is_fetched_once_by_all_workers_of_a_node(shared, made, tmp_path, monkeypatch):
    shared.upload(made, "baseline")
    fetched = []
    download = Storage.download

    def counted(self, folder, target):
        fetched.append(folder)
        return download(self, folder, target)

    monkeypatch.setattr(files.Storage, "download", counted)
    workers = [
        threading.Thread(target=shared.fetch, args=(tmp_path / "two", "baseline")) for _ in range(5)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    shared.fetch(tmp_path / "two", "baseline")
    shared.fetch(made, "baseline")
    assert fetched == ["baseline"]


def test_what_is_made_anew_is_fetched_anew(shared, made, tmp_path):
    shared.upload(made, "baseline")
    shared.fetch(tmp_path / "two", "baseline")
    (made / "baseline" / "inference.pdmodel").write_text("another")
    shared.upload(made, "baseline")
    shared.fetch(tmp_path / "two", "baseline")
    assert (tmp_path / "two" / "baseline" / "inference.pdmodel").read_text() == "another"


def test_half_of_it_is_nothing(shared, made, tmp_path):
    Storage(shared.uri).upload(made / "baseline", "baseline")
    with pytest.raises(StorageError, match="baseline is gone"):
        shared.fetch(tmp_path / "two", "baseline")
