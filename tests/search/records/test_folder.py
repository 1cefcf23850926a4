"""Files that are whole or not there, here and on storage."""

import pytest

from clusters.owner import Ownership
from clusters.storage import Storage
from search.records.folder import Folder
from search.records.tables import Store
from spaces.errors import StorageError


@pytest.fixture
def shared(tmp_path):
    """A folder on this machine whose files are on storage too, and the storage."""
    storage = Storage(str(tmp_path / "shared"), patience_s=0.3, say=lambda text: None)
    storage.create()
    ownership = Ownership.claim(storage)
    yield Folder(tmp_path / "here", ownership), storage
    ownership.release()


def test_what_is_kept_is_in_both_places(shared):
    folder, storage = shared
    folder.write("stages/baseline.json", b"1")
    assert storage.read("stages/baseline.json") == b"1"
    assert (folder.path / "stages" / "baseline.json").read_bytes() == b"1"
    folder.delete("stages/baseline.json")
    assert storage.read("stages/baseline.json") is None
    assert not (folder.path / "stages" / "baseline.json").exists()


def test_a_row_is_nowhere_if_storage_has_not_got_it(shared, tmp_path):
    folder, storage = shared
    store = Store(folder)
    store.create()
    row = {"group": "a", "ratio": 0.5, "metric": 0.9, "metric_loss": 0.1}
    store.write("sensitivity", "a", [row])
    (tmp_path / "shared").rename(tmp_path / "away")
    with pytest.raises(StorageError):
        store.write("sensitivity", "b", [row])
    (tmp_path / "away").rename(tmp_path / "shared")
    assert len(store.read("sensitivity")) == 1
    assert storage.names("sensitivity") == ["sensitivity/a.parquet"]
    assert Store(tmp_path / "shared").read("sensitivity") == store.read("sensitivity")
