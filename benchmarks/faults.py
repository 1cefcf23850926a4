"""What single faults of a cluster cost a search.

    python -m benchmarks.faults [--only NAME ...]

writes bench/faults.json and the table in docs/benchmarks.md. Three nodes, each in its own network
namespace, and the tests' tiny task: a trial takes seconds, so the cost is that of detecting the
fault and of repeating the trial.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.page import write_table
from benchmarks.summary import machine
from tests.conftest import train_tiny
from tests.helpers.faults import TRAINING, Ended, Search, fill, small_disk
from tests.helpers.nodes import NodeCluster, node_cluster
from tests.helpers.support import Workplace, make_workplace

TRIALS = 10
# Finished trials at which the fault is injected.
AT = 3
# Seconds that the storage stays full.
FULL_S = 15
COLUMNS = ("fault", "finished", "retries", "seconds in lost trials", "seconds longer")


def nothing(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    return search


def worker_killed(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    search.wait_for_work_on(cluster.nodes[1], TRAINING)
    cluster.nodes[1].kill_worker(TRAINING)
    return search


def raylet_killed(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    search.wait_for_work_on(cluster.nodes[1], TRAINING)
    cluster.nodes[1].kill_raylet()
    return search


def node_cut_off(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    search.wait_for_work_on(cluster.nodes[1], TRAINING)
    cluster.nodes[1].cut()
    return search


def node_added(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    cluster.start(cpus=1)
    return search


def storage_full(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    fill(disk, FULL_S)
    return search


def driver_killed(cluster: NodeCluster, search: Search, disk: Path) -> Search:
    search.kill()
    follower = Search(search.place, cluster.head, search.run)
    follower.start(*("--resume", str(search.run), "--address", cluster.address), cwd=disk)
    return follower


FAULTS: dict[str, Callable[[NodeCluster, Search, Path], Search]] = {
    "nothing": nothing,
    "a worker process killed": worker_killed,
    "a raylet killed": raylet_killed,
    "a node cut from the network": node_cut_off,
    "a node added": node_added,
    f"the storage full for {FULL_S} s": storage_full,
    "the driver killed, resumed from another folder": driver_killed,
}


def run_with(fault: str, place: Workplace, folder: Path) -> dict[str, float]:
    """Return the figures of a search with this fault."""
    with (
        small_disk(folder / "disk", "128m") as disk,
        node_cluster(folder, place.environment()) as cluster,
    ):
        head = cluster.start(cpus=1)
        for _ in range(2):
            cluster.start(cpus=1)
        search = Search(place, head, disk / "runs" / "one")
        began = time.monotonic()
        search.start(
            *("--budget", "0.1", *place.task(), "--trials", str(TRIALS)),
            *("--storage", str(disk / "runs"), "--out", "one", "--address", cluster.address),
            *("--concurrency", "4"),
            choices="[float, int8_ptq]",
        )
        search.wait_for_trials(AT)
        search = FAULTS[fault](cluster, search, disk)
        ended: Ended = search.end()
        wall_s = time.monotonic() - began
        ended.check(TRIALS)
        counts = ended.manifest["trials"]
    return {
        "finished": counts["finished"],
        "retries": counts["retries"],
        "lost_s": counts["lost_s"],
        "wall_s": wall_s,
    }


def rows(found: dict[str, dict[str, float]]) -> str:
    """Return the table in markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| " + "--- | " * len(COLUMNS)]
    usual = found["nothing"]["wall_s"]
    for fault, one in found.items():
        longer = one["wall_s"] - usual
        lines.append(
            f"| {fault} | {one['finished']} of {TRIALS} | {one['retries']} | "
            f"{one['lost_s']:.0f} | {longer:.0f} |"
        )
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(FAULTS))
    chosen = parser.parse_args()
    target = Path("bench") / "faults.json"
    known = json.loads(target.read_text())["faults"] if target.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="sl") as base:
        weights = Path(base) / "weights.safetensors"
        train_tiny(weights)
        place = make_workplace(Path(base) / "place", weights)
        for number, fault in enumerate(FAULTS):
            if fault in chosen.only:
                folder = Path(base) / str(number)
                folder.mkdir()
                known[fault] = run_with(fault, place, folder)
                known = {name: known[name] for name in FAULTS if name in known}
                target.write_text(
                    json.dumps({"faults": known, "machine": machine()}, indent=1) + "\n"
                )
    if "nothing" in known:
        write_table("faults", rows(known))


if __name__ == "__main__":
    main()
