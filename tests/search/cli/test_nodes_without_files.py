"""A real Ray of two nodes, one of which does not have the folder that the command is given in."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from search.run import main
from tests.helpers.support import PATIENCE_S, ray_cluster
from tests.trainables.files.test_task_folder import TASK

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_token")]

# The second node sees an empty folder in this one's place.
HIDDEN = 'mount -t tmpfs none "$0" && cd / && exec "$@"'


def mounts_work(folder):
    made = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0"', str(folder)],
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


def _started(folder, address):
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    return subprocess.Popen(
        [
            *("unshare", "-m", "sh", "-c", HIDDEN, str(folder)),
            *(*command, f"--address={address}", "--disable-usage-stats"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def node_without(folder, address):
    import ray

    process = _started(folder, address)
    try:
        ray.init(address, log_to_driver=False)
        deadline = time.monotonic() + PATIENCE_S
        while sum(node["Alive"] for node in ray.nodes()) < 2:
            assert time.monotonic() < deadline
            if process.poll() is not None:
                # On a busy machine a raylet gives up on its own agent, which is slow to start.
                process = _started(folder, address)
            time.sleep(0.3)
        ray.shutdown()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_S)


def test_a_node_without_the_files_is_named_and_a_sent_folder_is_found(
    local_workplace, tmp_path, monkeypatch, capsys
):
    # The folder itself is on all nodes, as a home folder is; what is in it is not.
    home = tmp_path / "home"
    home.mkdir()
    if not mounts_work(home):
        pytest.skip("no mount namespaces on this machine")
    (home / "lazy_node.py").write_text(TASK)
    np.savez(home / "d.npz", x=np.ones((2, 1, 14, 14), "float32"), y=np.zeros(2, int))
    # Of all nodes, as an installed package is.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    arguments = ["--task", "lazy_node:Lazy", "-o", "task_options={data: d.npz}", "--check-task"]
    with ray_cluster(local_workplace, num_cpus=1) as place, node_without(home, place.address):
        monkeypatch.setenv("RAY_ADDRESS", place.address)
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: node ") and "there is no module 'lazy_node'" in line
        assert "runtime_env={working_dir: .}" in line and len(line) <= 310
        # As told: now every node has a copy, which stands for the folder where that is empty.
        main([*arguments, "-o", "runtime_env={working_dir: .}"])
        said = capsys.readouterr()
        assert not said.err and "ok       inputs:" in said.out
