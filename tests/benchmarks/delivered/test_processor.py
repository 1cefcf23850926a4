"""Processor time of a tree of processes, and what is left of it."""

import os
import subprocess
import sys
import time

import psutil

from benchmarks.delivered.processor import ProcessorClock

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_children_that_have_ended_count():
    with ProcessorClock(interval_s=0.05) as clock:
        before, own = clock.seconds(), time.process_time()
        subprocess.run([sys.executable, "-c", BUSY.format(0.6)], check=True)
        found, own = clock.seconds() - before, time.process_time() - own
    # The child's, and what looking at it takes, which on a busy machine is more.
    assert 0.45 <= found - own <= 1.1


def test_grandchildren_count_and_sleep_does_not():
    code = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''{BUSY.format(0.5)}'''])"
    )
    with ProcessorClock(interval_s=0.05) as clock:
        before = clock.seconds()
        subprocess.run([sys.executable, "-c", code], check=True)
        busy, own = clock.seconds() - before, time.process_time()
        time.sleep(0.3)
        own = time.process_time() - own
        assert clock.seconds() - before - busy - own < 0.15
    assert busy >= 0.4


def test_orphans_stay_in_the_tree_and_are_ended(tmp_path):
    """In a process of its own, which adopts them and ends all its descendants."""
    file = tmp_path / "pid"
    orphan = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); "
    orphan += f"open({str(file)!r}, 'w').write(str(p.pid))"
    code = f"""
import subprocess, sys, psutil
from benchmarks.delivered.processor import adopt_orphans, end_descendants
adopt_orphans()
subprocess.run([sys.executable, "-c", {orphan!r}], check=True)
assert [p.pid for p in psutil.Process().children()] == [int(open({str(file)!r}).read())]
end_descendants()
assert not [p for p in psutil.Process().children() if p.status() != "zombie"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
    pid = int(file.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
