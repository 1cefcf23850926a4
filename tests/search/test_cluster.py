"""Whole runs on three nodes, each with an address of its own, while things go wrong."""

import tempfile
from pathlib import Path

import pytest

from tests.helpers.faults import A_TRIAL, TRAINING, Search, fill, small_disk
from tests.helpers.nodes import node_cluster
from tests.helpers.support import rows_of

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


def test_a_search_over_three_nodes_outlives_what_goes_wrong(cluster, local_workplace, disk):
    if not cluster.separate:
        pytest.skip("no network namespaces on this machine")
    head, second, third = (cluster.start(cpus=1) for _ in range(3))
    search = Search(local_workplace, head, disk / "runs" / "one")
    trials = 14
    search.start(
        *("--budget", "0.1", *local_workplace.task(), "--trials", str(trials)),
        *("--storage", str(disk / "runs"), "--out", "one", "--address", cluster.address),
        # Plans that wait for the node that is yet to come.
        *("--concurrency", "4"),
        storage_patience_s=120,
        # So long that all of this happens before the search is over, with a little left to train.
        finetune_samples=20_000,
        retrain_samples=22_000,
        # The tiny task has too few plans for that without the third.
        **{**FEW, "choices": "[float, int8_ptq, int8_qat]"},
    )
    search.wait_for_trials(1)
    fourth = cluster.start(cpus=1)
    # From here on the search cannot end without it.
    search.wait_for_work_on(fourth, A_TRIAL)
    search.wait_for_trial_on(second)
    search.wait_for_work_on(second, TRAINING)
    second.kill_worker(TRAINING)
    search.wait_for_trial_on(third)
    search.wait_for_work_on(third, TRAINING)
    third.cut()
    search.wait_for_work_on(second, TRAINING)
    second.kill_raylet()
    search.wait_for_trial_on(fourth)
    fill(disk, 15)
    ended = search.end()
    ended.check(trials)
    assert ended.manifest["trials"]["retries"] >= 3
    assert ended.manifest["trials"]["lost_s"] > 0
    assert ended.hosts == {node.name for node in (head, second, third, fourth)}
    outcome = next((ended.run / "retrained").glob("*/outcome.json")).read_text()
    assert '"workers": 2' in outcome


def test_a_driver_that_dies_is_followed_by_one_in_another_folder(
    cluster, local_workplace, tmp_path
):
    """On nodes of two kinds: models are timed on those of one."""
    head = cluster.start(cpus=1)
    target = cluster.start(cpus=1, resources={"target": 1})
    runs = tmp_path / "runs"
    search = Search(local_workplace, head, runs / "two")
    search.start(
        *("--budget", "0.1", *local_workplace.task(), "--trials", "6"),
        *("--storage", str(runs), "--out", "two", "--address", cluster.address),
        target_resource="target",
        **FEW,
    )
    # Refused as soon as there is a run, while the first one measures the baseline.
    search.wait_for((search.run / "config.yaml").is_file, "configuration")
    second = Search(local_workplace, head, runs / "two")
    second.start("--resume", str(runs / "two"), "--address", cluster.address)
    assert second.process.wait(300) == 2
    second._reader.join(30)
    assert f"process {search.process.pid}" in "\n".join(second.said)
    search.wait_for_trials(2)
    search.kill()
    before = rows_of(search.run, "trials")
    follower = Search(local_workplace, head, runs / "two")
    elsewhere = Path(tempfile.mkdtemp(dir=tmp_path))
    follower.start("--resume", str(runs / "two"), "--address", cluster.address, cwd=elsewhere)
    ended = follower.end()
    ended.check(6)
    assert before >= 2
    if cluster.separate:
        assert ended.hosts == {target.name}
