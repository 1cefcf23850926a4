"""A cluster of machines as its own files print it: with the token on, from the first line to a
delivered model. Without the token neither the dashboard, nor a job, nor a driver gets in."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.helpers.nodes import node_cluster
from tests.helpers.printed import FOLDER, commands_of, filled, printed
from tests.helpers.s3 import CREDENTIALS, s3_server
from tests.helpers.support import PATIENCE_S, QUICK

pytestmark = pytest.mark.slow

DASHBOARD = "http://127.0.0.1:8265"
REPOSITORY = Path(__file__).parents[2]
# Makes each search short; the command lines stay as they are printed.
SHORT = {
    **QUICK,
    "trials": 1,
    "finetune_samples": 320,
    "retrain_samples": 320,
    "retrain_candidates": 1,
    "retrain_workers": 1,
    # A model within the budget is not the point here: any is delivered. No group has so many
    # channels, so the one plan is that of the unpruned model.
    "choices": ["float"],
    "alignment": 100_000,
}

ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/api/version")
if len(sys.argv) > 2:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
try:
    print(urllib.request.urlopen(request, timeout=300).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""

DRIVER = """
import ray, sys
ray.init(sys.argv[1], logging_level="ERROR")
print("in with", len(ray.nodes()), "nodes")
"""


@pytest.fixture(scope="module")
def cluster(local_workplace):
    """Two machines that the lines of on-premises.yaml make a cluster of."""
    with (
        tempfile.TemporaryDirectory(prefix="sl") as folder,
        node_cluster(folder, {**local_workplace.environment(), **CREDENTIALS}) as cluster,
    ):
        if not cluster.separate:
            pytest.skip("no network namespaces on this machine")
        on_first, on_others, on_targets, _ = printed("on-premises.yaml")
        first, second = cluster.machine(), cluster.machine()
        status, said = first.run(on_first, folder)
        assert status == 0, said
        shutil.copytree(home(first) / ".ray", home(second) / ".ray")
        # The same line with a resource more: the one machine stands for both.
        exported, start = on_others.splitlines()
        assert on_targets == f"{start} --resources='{{\"target\": 1}}'"
        joining = filled(f"{exported}\n{on_targets}", HEAD=first.address)
        status, said = second.run(joining, folder)
        assert status == 0, said
        yield cluster


@pytest.fixture(scope="module")
def head(cluster):
    return cluster.head


@pytest.fixture(scope="module")
def bucket(cluster):
    """Return a function that makes a path of a bucket a word of a shell."""
    with s3_server(cluster.host) as server:
        yield lambda path: f"'{server.uri(path)}'"


@pytest.fixture
def own(local_workplace, tmp_path):
    """A folder of one's own, with a task and settings that make a search short."""
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copytree(local_workplace.folder / "mypkg", folder / "brought")
    settings(folder, local_workplace, task="brought.mine:make_task")
    return folder


def settings(folder, workplace, task="mypkg.mine:make_task", **more):
    text = {**SHORT, "cache": str(workplace.folder / "cache"), **more}
    if task:
        text |= {"task": task, "task_options": {"weights": str(workplace.weights)}}
    folder.mkdir(exist_ok=True)
    (folder / "slimsearch.yaml").write_text(yaml.safe_dump(text))


def home(machine):
    return Path(machine.environment["HOME"])


@pytest.fixture
def stranger(tmp_path):
    """What somebody's environment has who was not given the token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "", "HOME": str(tmp_path)}


def said(head, *command, **options):
    """Return a command's exit status on the node, and what it said."""
    process = head.popen(*command, **options)
    text, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, text


def test_the_dashboard_asks_for_the_token(head):
    token = (home(head) / ".ray" / "auth_token").read_text()
    assert said(head, sys.executable, "-c", ASK, DASHBOARD)[1].strip() == "401"
    assert said(head, sys.executable, "-c", ASK, DASHBOARD, "guessed")[1].strip() in ("401", "403")
    assert said(head, sys.executable, "-c", ASK, DASHBOARD, token)[1].strip() == "200"


def test_a_driver_needs_the_token(head, stranger):
    address = f"{head.address}:6379"
    known = {"RAY_AUTH_MODE": "token"}
    status, text = said(head, sys.executable, "-c", DRIVER, address, env=known)
    assert (status, "in with 2 nodes" in text) == (0, True), text
    command, tokens = (sys.executable, "-c", DRIVER, address), ("", "f" * 64)
    guesses = [head.popen(*command, env={**stranger, "RAY_AUTH_TOKEN": t}) for t in tokens]
    for guess in guesses:
        text, _ = guess.communicate(timeout=PATIENCE_S)
        assert guess.returncode != 0
        assert "in with" not in text


def test_a_search_without_the_token_is_told_so_in_one_line(head, own, stranger):
    command = [sys.executable, "-m", "search.run", "--budget", "0.1"]
    command += ["--address", f"{head.address}:6379", "--storage", str(own / "runs")]
    status, text = said(head, *command, cwd=own, env=stranger)
    assert status == 2, text
    assert "asks for a token that this machine does not have" in text.splitlines()[-1]
    assert "Traceback" not in text


def test_a_second_address_of_the_machine_does_not_reach_the_dashboard(head):
    """It listens on loopback, so no other node gets as far as being asked for a token."""
    tried = [sys.executable, "-c", ASK, f"http://{head.address}:8265"]
    outside = subprocess.run(tried, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert outside.returncode != 0
    assert "refused" in outside.stderr


def delivered(machine, command, folder):
    """Run a search as it is printed; return what it said once a model is delivered."""
    status, said = machine.run(command, folder)
    assert status == 0, said
    assert re.search(r"^ *model: ", said, re.MULTILINE) or "model: " in said, said
    return said


def test_a_clone_searches_the_built_in_problem_on_premises(cluster, local_workplace, tmp_path):
    clone, runs = tmp_path / "clone", tmp_path / "runs"
    needless = shutil.ignore_patterns(".*", "runs", "bench", "tests", "__pycache__", "LOG.md")
    shutil.copytree(REPOSITORY, clone, ignore=needless)
    # One short trial: without branches, so that it keeps the budget.
    settings(clone, local_workplace, task=None, branches=False)
    command = filled(printed("on-premises.yaml")[-1], **{"/mnt/runs": str(runs)})
    delivered(cluster.head, command, clone)
    (manifest,) = (json.loads(path.read_text()) for path in runs.glob("*/manifest.json"))
    assert manifest["task"] == "fashion_mnist"


def test_a_task_of_ones_own_as_the_guide_prints_it(cluster, own, bucket):
    search, _ = commands_of("cluster")
    values = {"PROFILE": "on-premises", "s3://bucket/runs": bucket("guide")}
    delivered(cluster.head, filled(search, **values), own)


def test_a_job_brings_its_own_code(cluster, own, bucket):
    """Nobody has the task but the one who submits."""
    _, submit = commands_of("cluster")
    submitted = filled(submit, **{"s3://bucket/runs": bucket("jobs")})
    without = submitted.replace("RAY_AUTH_MODE=token ", "")
    assert without != submitted
    status, said = cluster.head.run(without, own)
    assert status != 0 and "Authentication" in said
    assert "succeeded" in delivered(cluster.head, submitted, own)


def is_the_guides(command, profile):
    """Return whether a command is the guide's for a profile, in whatever order."""
    search, _ = commands_of("cluster")
    values = {"PROFILE": profile, "s3://bucket/runs": "s3://BUCKET/runs"}
    return sorted(shlex.split(filled(search, **values))) == sorted(shlex.split(command))


def until_the_search(machine, command, folder):
    """Run a command as it is printed, but for the end: its search begins and delivers as the
    guide's does."""
    status, said = machine.run(f"{command} --dry-run", folder)
    assert status == 0 and "nothing was searched yet" in said, said


def test_what_runs_on_cloud(cluster, local_workplace, tmp_path, bucket):
    """What `ray exec` is given, on nodes with the package in a folder `slimsearch`."""
    (given,) = re.findall(r'ray exec \S+ "(.*)"', printed("cloud.yaml")[0])
    assert is_the_guides(given.removeprefix("cd slimsearch && "), "cloud")
    settings(tmp_path / "slimsearch", local_workplace)
    command = filled(given, **{"s3://BUCKET/runs": bucket("cloud")})
    until_the_search(cluster.head, command, tmp_path)


def test_what_runs_on_kuberay(cluster, own, bucket):
    """Submitted to a cluster that stays; a RayJob submits the same command."""
    *_, submit = printed("launch/raycluster.yaml")[0].splitlines()
    job, _ = yaml.safe_load_all((FOLDER / "launch" / "rayjob.yaml").read_text())
    entrypoint = job["spec"]["entrypoint"]
    assert printed("kuberay.yaml")[1] == entrypoint
    assert " ".join(submit.split()) == f"ray job submit --working-dir . -- {entrypoint}"
    assert is_the_guides(entrypoint, "kuberay")
    submitted = filled(submit, **{"s3://BUCKET/runs": bucket("kuberay")})
    until_the_search(cluster.head, f"export RAY_AUTH_MODE=token\n{submitted}", own)
