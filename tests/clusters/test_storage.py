"""One suite over every kind of storage, and what only one of them can do."""

import subprocess
import threading
import time

import pytest

from clusters.storage import Storage, join
from spaces.errors import StorageError
from tests.helpers.support import PATIENCE_S


@pytest.fixture
def storage(uri):
    made = Storage(uri, patience_s=300)
    made.create()
    return made


def test_what_is_written_is_read(storage):
    storage.write("trials/000001.parquet", b"rows")
    storage.write("trials/000001.parquet", b"other rows")
    assert storage.read("trials/000001.parquet") == b"other rows"
    assert storage.read("trials/000002.parquet") is None


def test_another_connection_sees_it(uri, storage):
    storage.write("config.yaml", b"budget: 0.1")
    assert Storage(uri).read("config.yaml") == b"budget: 0.1"


def test_names_are_sorted_and_of_one_folder(storage):
    for name in ("b/2", "b/1", "bb/1", "a", "b/deep/3", "b/.hidden"):
        storage.write(name, b"")
    assert storage.names("b") == ["b/1", "b/2", "b/deep/3"]
    assert storage.names() == ["a", "b/1", "b/2", "b/deep/3", "bb/1"]
    assert storage.names("c") == []


def test_what_is_deleted_is_gone_and_may_be_gone_already(storage):
    storage.write("a", b"1")
    storage.delete("a")
    storage.delete("a")
    assert storage.read("a") is None


def test_folders_go_up_and_come_down(storage, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "inference.pdmodel").write_bytes(b"\x00\x01" * 70_000)
    (source / "deep" / "note.txt").write_text("note")
    (source / ".half.tmp").write_text("half")
    storage.upload(source, "candidates/000003")
    assert storage.download("candidates/000003", tmp_path / "target")
    found = {
        path.relative_to(tmp_path / "target").as_posix(): path.read_bytes()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == {"inference.pdmodel": b"\x00\x01" * 70_000, "deep/note.txt": b"note"}
    assert not storage.download("candidates/000004", tmp_path / "other")


def test_a_folder_that_cannot_be_written_to_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written to") as caught:
        Storage(str(tmp_path / "file" / "runs")).create()
    assert "\n" not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_said_at_once(s3):
    with pytest.raises(StorageError, match="cannot be written to"):
        Storage(s3.uri("x").replace("//runs/", "//nobody/")).create()


@pytest.mark.parametrize("uri", ["ftp://host/path", "nothing://"])
def test_a_uri_that_nobody_opens_is_one_line(uri):
    with pytest.raises(StorageError, match="give a folder, or a URI") as caught:
        Storage(uri)
    assert "\n" not in str(caught.value)


def test_a_mount_that_is_away_is_waited_for(tmp_path):
    folder, away = tmp_path / "mount", tmp_path / "away"
    said = []

    def mount_again(text):
        said.append(text)
        if "waiting to" in text:
            away.rename(folder)

    storage = Storage(str(folder), say=mount_again)
    storage.create()
    storage.write("a", b"1")
    folder.rename(away)
    storage.write("b", b"2")
    assert (folder / "b").read_bytes() == b"2"
    assert len(said) == 2
    assert "waiting to write b" in said[0]
    assert "back after" in said[1]
    folder.rename(away)
    assert storage.read("a") == b"1", "what is on a disk that is away is not missing"


def test_a_storage_that_stays_away_ends_it_with_what_to_do(tmp_path):
    folder = tmp_path / "mount"
    storage = Storage(str(folder), patience_s=0.5, say=lambda text: None)
    storage.create()
    folder.rmdir()
    with pytest.raises(StorageError, match="--resume"):
        storage.write("a", b"1")


def test_a_server_that_does_not_answer_is_waited_for(s3, tmp_path):
    storage = Storage(s3.uri(tmp_path.name), say=lambda text: None)
    storage.create()
    with s3.away():
        writer = threading.Thread(target=storage.write, args=("a", b"1"), daemon=True)
        writer.start()
        time.sleep(2)
        assert writer.is_alive()
    writer.join(PATIENCE_S)
    assert storage.read("a") == b"1"


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 256 kB, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_waited_for_and_nothing_is_lost(small_disk):
    filler = small_disk / "filler"
    storage = Storage(str(small_disk), say=lambda text: filler.unlink(missing_ok=True))
    storage.create()
    storage.write("row", b"first")
    filler.write_bytes(b"0" * 240_000)
    storage.write("row", b"second" * 10_000)
    assert storage.read("row") == b"second" * 10_000
    assert storage.names() == ["row"]


def test_a_full_disk_keeps_what_was_there(small_disk):
    storage = Storage(str(small_disk), patience_s=0.3, say=lambda text: None)
    storage.create()
    storage.write("row", b"first")
    (small_disk / "filler").write_bytes(b"0" * 240_000)
    with pytest.raises(StorageError):
        storage.write("row", b"second" * 10_000)
    assert storage.read("row") == b"first"


def test_options_of_a_uri_stay_last():
    assert join("s3://b/runs/?scheme=http", "x") == "s3://b/runs/x?scheme=http"
    assert join("/mnt/runs", "x") == "/mnt/runs/x"
