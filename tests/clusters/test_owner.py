"""One driver at a time in a run's folder, on every kind of storage."""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from clusters import owner
from clusters.owner import OWNER, Owner, Ownership
from clusters.storage import Storage
from spaces.errors import RunFolderError
from tests.helpers.support import PATIENCE_S


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A driver counts often, and is dead after a silence that no living one has."""
    often = owner.Heartbeat(every_s=0.3, missed=100, settle_s=0.05)
    monkeypatch.setattr(owner, "HEARTBEAT", often)


@pytest.fixture
def impatient(monkeypatch):
    """For drivers that are dead."""
    monkeypatch.setattr(owner, "HEARTBEAT", owner.Heartbeat(every_s=0.3, settle_s=0.05))


@pytest.fixture
def storage(uri):
    made = Storage(uri, patience_s=300)
    made.create()
    return made


def note(storage, **values):
    about = {"host": "elsewhere", "pid": 4, "since": "yesterday", "token": "t", **values}
    storage.write(OWNER, json.dumps(asdict(Owner(**about))).encode())


def test_the_second_is_refused_and_told_who_is_first(storage):
    first = Ownership.claim(storage)
    with pytest.raises(RunFolderError) as caught:
        Ownership.claim(storage)
    assert f"process {os.getpid()} on {platform.node()}" in str(caught.value)
    first.release()
    Ownership.claim(storage).release()
    assert storage.read(OWNER) is None


def test_who_watches_goes_on_after_all_stood_still(tmp_path, monkeypatch, impatient):
    storage, sleep = Storage(str(tmp_path)), time.sleep
    note(storage)

    def stand_still(seconds):
        sleep(owner.HEARTBEAT.silence_s)
        monkeypatch.setattr(owner.time, "sleep", lambda seconds: note(storage, beats=1))

    monkeypatch.setattr(owner.time, "sleep", stand_still)
    with pytest.raises(RunFolderError, match="is working in it"):
        Ownership.claim(storage)


def test_a_driver_elsewhere_that_no_longer_counts_is_dead(storage, impatient):
    note(storage)
    began = time.monotonic()
    taken = Ownership.claim(storage)
    assert time.monotonic() - began > 2 * owner.HEARTBEAT.every_s
    taken.release()


def test_a_dead_process_of_this_machine_is_known_at_once(storage, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT", owner.Heartbeat(every_s=60.0, settle_s=0.05))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    note(storage, host=platform.node(), pid=dead.pid)
    began = time.monotonic()
    taken = Ownership.claim(storage)
    # Watched, it would count as alive for four minutes.
    assert time.monotonic() - began < 120
    taken.release()


def test_who_comes_back_after_a_silence_finds_out(storage):
    mine = Ownership.claim(storage)
    mine.check()
    deadline = time.monotonic() + PATIENCE_S
    with pytest.raises(RunFolderError, match="process 7 on elsewhere"):
        while time.monotonic() < deadline:
            # As the other's counter does: ours may overwrite it once.
            note(storage, host="elsewhere", pid=7)
            mine.check()
            time.sleep(0.05)
    mine.release()
    assert storage.read(OWNER) is not None, "the other's note is not ours to delete"
