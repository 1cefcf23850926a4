"""Files are replaced atomically, and never written through a link."""

import pytest

from trainables.files.whole_file import link_below, write_whole


@pytest.mark.parametrize("writer", ["", "7"])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path, writer):
    path = tmp_path / "a.json"
    for data in (b"one", b"two"):
        write_whole(path, data, writer)
        assert path.read_bytes() == data
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_links_are_replaced_and_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    path = tmp_path / "a.json"
    path.symlink_to(other)
    (tmp_path / ".a.json.tmp").symlink_to(other)
    write_whole(path, b"new")
    assert other.read_bytes() == b"mine"
    assert path.read_bytes() == b"new" and not path.is_symlink()


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError):
        write_whole(path, b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_a_link_between_a_root_and_a_file_is_found(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert link_below(tmp_path, "real/deep/file") is None
    assert link_below(tmp_path, "linked/deep/file") == tmp_path / "linked"
    # The file itself may be a link: writing replaces it.
    assert link_below(tmp_path, "linked") is None
