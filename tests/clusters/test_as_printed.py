"""The door: without the token neither the dashboard, nor a job, nor a driver gets in."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.nodes import RAY, node_cluster

pytestmark = pytest.mark.slow

DASHBOARD = "http://127.0.0.1:8265"

ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/api/version")
if len(sys.argv) > 2:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""

DRIVER = """
import ray, sys
ray.init(sys.argv[1], logging_level="ERROR")
print("in with", int(ray.cluster_resources()["CPU"]), "cores")
"""


@pytest.fixture(scope="module")
def cluster(local_workplace):
    with (
        tempfile.TemporaryDirectory(prefix="sl") as folder,
        node_cluster(folder, local_workplace.environment()) as cluster,
    ):
        cluster.start(cpus=2)
        yield cluster


@pytest.fixture(scope="module")
def head(cluster):
    return cluster.head


@pytest.fixture
def stranger(tmp_path):
    """What somebody's environment has who was not given the token."""
    return {"RAY_AUTH_TOKEN": "", "HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": "/nowhere"}


def said(head, *command, **options):
    """Return a command's exit status on the node, and what it said."""
    process = head.popen(*command, **options)
    text, _ = process.communicate(timeout=240)
    return process.returncode, text


def test_the_dashboard_asks_for_the_token(head):
    token = head.environment["RAY_AUTH_TOKEN"]
    assert said(head, sys.executable, "-c", ASK, DASHBOARD)[1].strip() == "401"
    assert said(head, sys.executable, "-c", ASK, DASHBOARD, "guessed")[1].strip() in ("401", "403")
    assert said(head, sys.executable, "-c", ASK, DASHBOARD, token)[1].strip() == "200"


def test_a_driver_needs_the_token(cluster, head, stranger):
    status, text = said(head, sys.executable, "-c", DRIVER, cluster.address)
    assert (status, "in with 2 cores" in text) == (0, True), text
    for token in ("", "f" * 64):
        guessed = {**stranger, "RAY_AUTH_TOKEN": token}
        status, text = said(head, sys.executable, "-c", DRIVER, cluster.address, env=guessed)
        assert status != 0
        assert "in with" not in text


def test_a_job_needs_the_token(head, stranger):
    submit = [*RAY, "job", "submit", f"--address={DASHBOARD}", "--", "echo", "inside"]
    status, text = said(head, *submit, env=stranger)
    assert status != 0
    assert "succeeded" not in text
    status, text = said(head, *submit)
    assert status == 0, text
    assert "succeeded" in text


def test_a_job_brings_its_own_code(head, local_workplace, tmp_path):
    """Nobody has the package but whoever submits."""
    shutil.copytree(local_workplace.folder / "mypkg", tmp_path / "mypkg")
    (tmp_path / "mypkg").rename(tmp_path / "brought")
    command = [sys.executable, "-m", "search.run", "--check-task"]
    command += ["--task", "brought.mine:make_task", "--weights", str(local_workplace.weights)]
    submit = [*RAY, "job", "submit", f"--address={DASHBOARD}", "--working-dir", str(tmp_path), "--"]
    status, text = said(head, *submit, *command, cwd=os.sep)
    assert status == 0, text
    assert "the task meets the contract" in text


def test_a_second_address_of_the_machine_does_not_reach_the_dashboard(head):
    """It listens on loopback, so no other node gets as far as being asked for a token."""
    if head.address == "127.0.0.1":
        pytest.skip("no network namespaces on this machine")
    tried = [sys.executable, "-c", ASK, f"http://{head.address}:8265"]
    outside = subprocess.run(tried, capture_output=True, text=True, check=False, timeout=60)
    assert outside.returncode != 0
    assert "refused" in outside.stderr
