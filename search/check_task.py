"""python -m search.run --task mypkg.mine:make_task --check-task"""

from __future__ import annotations

import tempfile

from search.config import RunConfig
from search.context import cluster_of
from search.places import check_nodes, is_sent
from search.progress import Display
from search.workers import call_worker
from trainables.jobs import check_task_job
from trainables.node import Node
from trainables.settings import TrialSettings


def report_check(config: RunConfig, display: Display) -> int:
    """Say how the task meets each demand of the contract; return 0 if all are met, else 2."""
    with tempfile.TemporaryDirectory() as folder, cluster_of(config, display):
        settings = TrialSettings(
            config.task,
            folder,
            folder,
            task_options=config.task_options,
            task_folder=config.task_folder,
            task_folder_sent=is_sent(config),
        )
        check_nodes(settings, Node(), display)
        demands = call_worker(display, "check", check_task_job, settings)
    for demand in demands:
        display.say(f"{'ok' if demand['met'] else 'NOT MET':<8} {demand['name']}: {demand['said']}")
    unmet = sum(not demand["met"] for demand in demands)
    if unmet:
        display.say(f"{unmet} of {len(demands)} demands are not met")
        return 2
    display.say("the task meets the contract")
    return 0
