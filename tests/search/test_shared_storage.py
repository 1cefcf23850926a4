"""A whole run in a bucket of a real S3 server: refused to a second driver, killed, resumed."""

import subprocess
import time
from dataclasses import replace

import pytest

from clusters.storage import Storage
from tests.helpers.faults import Ended
from tests.helpers.gate import ALL, FIRST_LEVEL, UNFINISHED, Gate, first_plans
from tests.helpers.s3 import CREDENTIALS, s3_server
from tests.helpers.support import PATIENCE_S, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def s3(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        yield server


def start(place, cache, *arguments, **settings):
    return subprocess.Popen(
        place.command(*arguments, cache="null", **settings),
        cwd=place.folder,
        env={**place.environment(), "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_files(storage, folder, count, process):
    deadline = time.monotonic() + PATIENCE_S
    while len(storage.names(folder)) < count:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_run_in_a_bucket(s3, local_workplace, tmp_path):
    place = replace(local_workplace, address=None)
    uri = s3.uri("searches")
    storage, gate = Storage(s3.uri("searches/mine")), Gate(tmp_path / "gate")
    first = start(
        place,
        tmp_path / "one",
        *(*place.task("make_gated"), "--trials", "4", "--storage", uri, "--out", "mine"),
        choices="[float, int8_ptq]",
        **UNFINISHED,
        **gate.options(place.weights),
    )
    # Refused as soon as there is a run, while the first one measures the baseline. It cannot end
    # before it is killed: its trainings are held.
    wait_for_files(storage, "stages", 2, first)
    second = start(place, tmp_path / "two", "--resume", storage.uri)
    said, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert f"process {first.pid} on " in said
    gate.let(first_plans(2))
    wait_for_files(storage, "trials", 1, first)
    first.kill()
    first.wait()
    before = set(storage.names("trials"))
    wait_until(lambda: not gate.held(ALL), "end of the workers")
    gate.let(FIRST_LEVEL)
    third = start(place, tmp_path / "two", "--resume", storage.uri)
    # A trial that is promoted, or the retrain: its training goes on while the server is away.
    wait_until(lambda: gate.held(ALL), "held training")
    with s3.away():
        gate.let(ALL)
        time.sleep(8)
    said, _ = third.communicate(timeout=PATIENCE_S)
    assert third.returncode == 0, said
    assert before <= set(storage.names("trials")), "a finished trial was lost"
    assert not (tmp_path / "two" / "slimsearch" / "runs" / "searches").exists()
    storage.download("", tmp_path / "brought")
    ended = Ended(tmp_path / "brought", said)
    ended.check(4)
    assert (tmp_path / "brought" / "model" / "inference.pdmodel").is_file()
    assert (tmp_path / "brought" / "optuna.journal").is_file()
    assert not storage.names("ray")
    assert storage.read("owner.json") is None
