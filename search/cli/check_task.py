"""python -m search.run --task mypkg.mine:make_task --check-task"""

from __future__ import annotations

import tempfile

from search.cli.paths import check_nodes
from search.config import RunConfig
from search.console import Display
from search.context import cluster_of, worker_settings
from search.workers import call_worker
from trainables.files.node import Node
from trainables.jobs import check_task_job


def report_check(config: RunConfig, display: Display) -> int:
    """Print whether the task meets each demand of the contract; return 0 if it does, else 2."""
    with tempfile.TemporaryDirectory() as folder, cluster_of(config, display):
        settings = worker_settings(config, folder, folder)
        check_nodes(settings, Node(), display)
        demands = call_worker(display, "check", check_task_job, settings)
    for demand in demands:
        display.say(f"{'ok' if demand.met else 'NOT MET':<8} {demand.name}: {demand.said}")
    unmet = sum(not demand.met for demand in demands)
    if unmet:
        display.say(f"{unmet} of {len(demands)} demands are not met")
        return 2
    display.say("the task meets the contract")
    return 0
