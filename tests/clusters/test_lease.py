"""The lease between real processes: each is told over its input what to do."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clusters.lease import FileLease, device_lease

# Takes the lease as the second argument says whenever a line comes in, holds it until
# the next one, and says when it has it and when it has given it back.
HOLDER = """
import sys
from clusters.lease import FileLease
take = getattr(FileLease(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
for _ in sys.stdin:
    with take():
        print("taken", flush=True)
        sys.stdin.readline()
    print("left", flush=True)
"""

# Takes the lease shared again and again, as training steps of this many seconds do.
LOOP = """
import sys, time
from clusters.lease import FileLease
lease, seconds = FileLease(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
while True:
    with lease.shared():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(seconds / 10)
"""

# Longer than a process that may go on takes to do so, even on a busy machine.
A_WHILE = 0.5
# Longer than a busy machine stands still, and than any number of steps in a tight loop.
STARVED = 30.0
LIMIT = 120.0


class Process:
    """Another process, its answers read in the background."""

    def __init__(self, source, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.answers = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.says("ready")

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.answers.append(line.strip())
                self._changed.notify_all()

    def says(self, answer, within=LIMIT):
        """Return whether this is its last answer, now or within some seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.answers[-1:] == [answer], within)

    def take(self):
        self.process.stdin.write("take\n")

    def leave(self):
        self.process.stdin.write("leave\n")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.lock"


@pytest.fixture
def start(path):
    """Start a process on the lease; all are killed at the end."""
    started = []

    def make(source, argument):
        process = Process(source, path, argument)
        started.append(process)
        return process

    yield make
    for process in started:
        if process.process.returncode is None:
            process.kill()


@pytest.mark.parametrize(
    ("first", "second"),
    [("exclusive", "shared"), ("shared", "exclusive"), ("exclusive", "exclusive")],
)
def test_a_probe_has_the_device_alone(start, first, second):
    holder, other = start(HOLDER, first), start(HOLDER, second)
    holder.take()
    assert holder.says("taken")
    other.take()
    assert not other.says("taken", within=A_WHILE)
    holder.leave()
    assert other.says("taken")


def test_training_steps_share_the_device(start):
    one, other = start(HOLDER, "shared"), start(HOLDER, "shared")
    one.take()
    assert one.says("taken")
    other.take()
    assert other.says("taken")
    assert one.says("taken")


def test_a_probe_that_waits_keeps_new_steps_out_but_not_the_one_that_runs(start):
    step, probe, next_step = (start(HOLDER, kind) for kind in ("shared", "exclusive", "shared"))
    step.take()
    assert step.says("taken")
    probe.take()
    assert not probe.says("taken", within=A_WHILE)
    next_step.take()
    assert not next_step.says("taken", within=A_WHILE)
    step.leave()
    assert step.says("left")
    assert probe.says("taken")
    assert not next_step.says("taken", within=A_WHILE)
    probe.leave()
    assert next_step.says("taken")


@pytest.mark.parametrize("seconds", [0.02, 0.0])
def test_steps_in_a_tight_loop_do_not_starve_a_probe(start, path, seconds):
    for _ in range(2):
        start(LOOP, seconds)
    prober = start(HOLDER, "exclusive")
    for _ in range(5):
        prober.take()
        assert prober.says("taken", within=STARVED)
        prober.leave()
        assert prober.says("left")


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_the_lease_of_a_killed_process_is_free(start, kind):
    holder, other = start(HOLDER, kind), start(HOLDER, "exclusive")
    holder.take()
    assert holder.says("taken")
    other.take()
    assert not other.says("taken", within=A_WHILE)
    # SIGKILL: it has no time to give anything back.
    holder.kill()
    assert other.says("taken")


def test_a_probe_that_is_killed_while_it_waits_keeps_nobody_out(start):
    step, probe, next_step = (start(HOLDER, kind) for kind in ("shared", "exclusive", "shared"))
    step.take()
    assert step.says("taken")
    probe.take()
    assert not probe.says("taken", within=A_WHILE)
    next_step.take()
    assert not next_step.says("taken", within=A_WHILE)
    probe.kill()
    assert next_step.says("taken")


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_the_lease_is_given_back_after_an_error(start, path, kind):
    lease = FileLease(str(path))
    with pytest.raises(RuntimeError, match="the step failed"), getattr(lease, kind)():
        raise RuntimeError("the step failed")
    prober = start(HOLDER, "exclusive")
    prober.take()
    assert prober.says("taken")


def test_all_runs_of_a_user_share_the_lease_of_the_device():
    """Whatever the folder and the environment they run in."""
    code = "from clusters.lease import device_lease; print(device_lease().path)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={**os.environ, "TMPDIR": "/nowhere", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == device_lease().path
    assert device_lease() == device_lease()


def test_users_do_not_share_the_lease_of_the_device(monkeypatch):
    """One could not open the file of the other."""
    mine = device_lease()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert device_lease() != mine


def test_the_lease_of_the_device_can_be_taken():
    with device_lease().exclusive():
        assert os.access(device_lease().path, os.W_OK)
