import os
import subprocess
import sys

import pytest

from trainables.files.cache import JsonCache, fingerprint_of, processor
from trainables.results import Sensitivity


def test_a_value_is_stored(tmp_path):
    value = [Sensitivity("conv", 0.5, None, None), Sensitivity("conv", 0.75, 0.5, 0.1)]
    JsonCache(tmp_path / "cache").put("key", list[Sensitivity], value)
    assert JsonCache(tmp_path / "cache").get("key", list[Sensitivity]) == value


def test_a_value_of_another_form_is_a_miss(tmp_path):
    JsonCache(tmp_path).put("key", int, 1)
    assert JsonCache(tmp_path).get("key", list[Sensitivity]) is None


def test_what_was_never_put_is_a_miss(tmp_path):
    assert JsonCache(tmp_path / "none").get("key", int) is None
    cache = JsonCache(tmp_path)
    cache.put("key", int, 1)
    assert cache.get("other", int) is None


def test_a_value_put_again_replaces_the_first(tmp_path):
    cache = JsonCache(tmp_path)
    cache.put("key", int, 1)
    cache.put("key", int, 2)
    assert cache.get("key", int) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


@pytest.mark.parametrize("content", [b"", b'{"ratio": 0.', b"\xff\xfe\x00"])
def test_a_damaged_file_is_a_miss_and_can_be_replaced(tmp_path, content):
    (tmp_path / "key.json").write_bytes(content)
    cache = JsonCache(tmp_path)
    assert cache.get("key", int) is None
    cache.put("key", int, 1)
    assert cache.get("key", int) == 1


def test_a_value_that_cannot_be_written_leaves_what_was_there(tmp_path):
    cache = JsonCache(tmp_path)
    cache.put("key", int, 1)
    with pytest.raises(TypeError):
        cache.put("key", int, object())
    assert cache.get("key", int) == 1


def test_what_a_killed_writer_left_is_a_miss(tmp_path):
    (tmp_path / f".key.{os.getpid()}.tmp").write_text('{"ratio"')
    cache = JsonCache(tmp_path)
    assert cache.get("key", int) is None
    cache.put("key", int, 1)
    assert cache.get("key", int) == 1


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint_of("a", {"x": 1, "y": 2}) == fingerprint_of("a", {"y": 2, "x": 1})


def test_any_difference_changes_the_fingerprint():
    parts = [("a", "b"), ("b", "a"), ("ab",), ("a", "b", None), ("a", ["b"]), (), ("a", "b", 1)]
    assert len({fingerprint_of(*part) for part in parts}) == len(parts)


def test_a_fingerprint_is_the_same_in_another_process():
    code = (
        "from trainables.files.cache import *; print(fingerprint_of('a', {'x': 0.1}), processor())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"{fingerprint_of('a', {'x': 0.1})} {processor()}"
