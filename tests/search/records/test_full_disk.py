"""A disk without room: one line, what was written before is whole, and no cache is needed."""

import errno
import resource
import signal

import pytest

from search.cli.parser import run_command
from search.records.run_folder import RunFolder
from search.report import build_parser
from search.run import main
from tests.search.made_run import make_run
from trainables.files.cache import JsonCache
from trainables.results import Sensitivity


@pytest.fixture
def full_disk():
    """Let no file grow: the kernel refuses each write, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_run_that_cannot_be_written_to_says_so_and_keeps_what_it_has(
    tmp_path, full_disk, monkeypatch
):
    run = RunFolder(make_run(tmp_path / "run", 1))
    before = (run.path / "stages" / "seconds.json").read_bytes()
    said = []
    monkeypatch.setattr(
        "search.cli.parser.print", lambda line, file: said.append(line), raising=False
    )

    def go_on(given):
        full_disk()
        run.finish_stage("seconds", {"baseline": 1.0})
        return 0

    assert run_command(build_parser, go_on, []) == 2
    assert len(said) == 1 and "stages/seconds.json cannot be written" in said[0]
    assert "make room" in said[0] and "--resume" in said[0]
    assert (run.path / "stages" / "seconds.json").read_bytes() == before
    names = sorted(path.name for path in (run.path / "stages").iterdir())
    assert not [name for name in names if name.startswith(".")]


def test_a_cache_without_room_keeps_what_it_has(tmp_path, full_disk):
    cache = JsonCache(tmp_path / "cache")
    cache.put("first", list[int], [1, 2])
    full_disk()
    cache.put("first", list[int], [3, 4])
    cache.put("second", list[int], [5])
    assert cache.get("first", list[int]) == [1, 2]
    assert cache.get("second", list[int]) is None


def test_a_cache_that_cannot_be_made_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    cache = JsonCache(tmp_path / "file" / "cache")
    cache.put("key", int, 1)
    assert cache.get("key", int) is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"a": 1}', "3", "[[[", "\x00"])
def test_a_value_of_another_form_is_a_miss(tmp_path, content):
    cache = JsonCache(tmp_path)
    (tmp_path / "key.json").write_text(content)
    assert cache.get("key", Sensitivity) is None


def test_what_others_fail_to_write_names_the_run_and_how_to_go_on(tmp_path, monkeypatch, capsys):
    """Optuna and Ray write files of their own, and say of a full disk only that it is full."""
    path = make_run(tmp_path / "a run", 1)

    def no_room(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ray.init", no_room)
    assert main(["--resume", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line and f"--resume '{path}'" in line
