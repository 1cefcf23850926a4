"""Whole runs on three nodes, each with an address of its own, while things go wrong."""

import tempfile
from pathlib import Path

import pytest

from tests.helpers.faults import Search, fill, small_disk
from tests.helpers.gate import ALL, NOTHING, UNFINISHED, Gate, first_plans
from tests.helpers.nodes import node_cluster
from tests.helpers.support import PATIENCE_S, rows_of

pytestmark = pytest.mark.slow

FEW = {"choices": "[float, int8_ptq]", "retrain_workers": 2}


@pytest.fixture
def cluster(local_workplace):
    with (
        tempfile.TemporaryDirectory(prefix="sl") as folder,
        node_cluster(folder, local_workplace.environment()) as made,
    ):
        yield made


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "mounted", "128m") as folder:
        yield folder


def test_a_search_over_three_nodes_outlives_what_goes_wrong(
    cluster, local_workplace, disk, tmp_path
):
    if not cluster.separate:
        pytest.skip("no network namespaces on this machine")
    head, second, third = (cluster.start(cpus=1) for _ in range(3))
    search, gate = Search(local_workplace, head, disk / "runs" / "one"), Gate(tmp_path / "gate")

    def let(*nodes):
        gate.let("|".join(f"^{node.name} " for node in nodes) or NOTHING)

    trials = 12
    let(second, third)
    search.start(
        *(*local_workplace.task("make_gated"), "--trials", str(trials)),
        *("--storage", str(disk / "runs"), "--out", "one", "--address", cluster.address),
        # Plans that wait for the node that is yet to come.
        *("--concurrency", "4"),
        storage_patience_s=120,
        **{**FEW, "choices": "[float, int8_ptq, int8_qat]"},
        **UNFINISHED,
        **gate.options(local_workplace.weights),
    )
    # One trained plan on each. All other trainings are held: the search outlasts the last fault.
    other = third if search.wait_for_trained_on(second, third) is second else second
    let(other)
    search.wait_for_trained_on(other)
    let()
    fourth = cluster.start(cpus=1)
    for node in (head, third, fourth):
        search.wait_for_training_on(node, gate)
    worker = search.wait_for_training_on(second, gate)
    worker.kill()
    worker.wait(PATIENCE_S)
    third.cut()
    search.wait_for_training_on(second, gate)
    second.kill_raylet()
    let(fourth)
    search.wait_for_trained_on(fourth)
    fill(disk, 15)
    let(head, fourth)
    ended = search.end()
    ended.check(trials)
    assert ended.manifest["trials"]["retries"] >= 3
    assert ended.manifest["trials"]["lost_s"] > 0
    outcome = next((ended.run / "retrained").glob("*/outcome.json")).read_text()
    assert '"workers": 2' in outcome


def test_a_driver_that_dies_is_followed_by_one_in_another_folder(
    cluster, local_workplace, tmp_path
):
    """On nodes of two kinds: models are timed on those of one."""
    head = cluster.start(cpus=1)
    target = cluster.start(cpus=1, resources={"target": 1})
    runs = tmp_path / "runs"
    search, gate = Search(local_workplace, head, runs / "two"), Gate(tmp_path / "gate")
    search.start(
        *(*local_workplace.task("make_gated"), "--trials", "6"),
        *("--storage", str(runs), "--out", "two", "--address", cluster.address),
        target_resource="target",
        **FEW,
        **UNFINISHED,
        **gate.options(local_workplace.weights),
    )
    # Refused as soon as there is a run, while the first one measures the baseline. It cannot end
    # before it is killed: its trainings are held.
    search.wait_for((search.run / "config.yaml").is_file, "configuration")
    second = Search(local_workplace, head, runs / "two")
    second.start("--resume", str(runs / "two"), "--address", cluster.address)
    assert second.process.wait(PATIENCE_S) == 2
    second._reader.join(PATIENCE_S)
    assert f"process {search.process.pid}" in "\n".join(second.said)
    gate.let(first_plans(3))
    search.wait_for_trials(2)
    search.kill()
    before = rows_of(search.run, "trials")
    gate.let(ALL)
    follower = Search(local_workplace, head, runs / "two")
    elsewhere = Path(tempfile.mkdtemp(dir=tmp_path))
    follower.start("--resume", str(runs / "two"), "--address", cluster.address, cwd=elsewhere)
    ended = follower.end()
    ended.check(6)
    assert before >= 2
    if cluster.separate:
        assert ended.hosts == {target.name}
