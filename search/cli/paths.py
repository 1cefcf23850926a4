"""Paths of a command, made valid in other folders and on other nodes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusters.storage import is_uri
from search.config import RunConfig
from spaces.errors import ConfigError, TaskError, shown
from trainables.jobs import node_job
from trainables.settings import user_path

if TYPE_CHECKING:
    from search.console import Display
    from trainables.files.node import Node
    from trainables.settings import TrialSettings

WORKING_DIR = "working_dir"
# Keys of a runtime environment whose values can be files or folders of the driver's machine.
LOCAL_PARTS = (WORKING_DIR, "py_modules", "pip", "uv", "conda")
# Environment variable in which Ray passes a job's runtime environment to the job's driver.
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def _absolute(value: Any) -> Any:
    """Return an existing path as an absolute one, and any other value unchanged."""
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    if isinstance(value, str) and not is_uri(value):
        path = user_path(value)
        return str(path.absolute()) if path.exists() else value
    return value


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the configuration with the current folder's relative paths made absolute.

    Raises ConfigError if the folder to send does not exist.
    """
    sent = config.runtime_env.get(WORKING_DIR)
    if isinstance(sent, str) and not is_uri(sent) and not user_path(sent).exists():
        raise ConfigError(
            f"runtime_env: working_dir {shown(sent)} does not exist; name a folder of this "
            "machine, for example {working_dir: .}"
        )
    environment = {
        part: _absolute(value) if part in LOCAL_PARTS else value
        for part, value in config.runtime_env.items()
    }
    cache, storage = config.cache, config.storage
    if cache is not None:
        cache = str(user_path(cache).absolute())
    if storage is not None and not is_uri(storage):
        storage = str(user_path(storage).absolute())
    folder = str(user_path(config.task_folder or "").absolute())
    return config.model_copy(
        update={
            "task_folder": folder,
            "runtime_env": environment,
            "cache": cache,
            "storage": storage,
        }
    )


def in_task_folder(config: RunConfig, path: str) -> Path:
    """Return a path of the task: relative ones start at the task's folder."""
    return Path(config.task_folder or "", user_path(path))


def environment_here(config: RunConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Return a run's runtime environment for this machine, which may not be the run's first.

    The current folder replaces a folder to send that this machine lacks.
    """
    sent = config.runtime_env.get(WORKING_DIR)
    if not isinstance(sent, str) or is_uri(sent) or Path(sent).exists():
        return config.runtime_env
    here = str(Path.cwd())
    say(f"{'':<12} folder {sent} is not on this machine: {here} is sent to the nodes instead")
    return {**config.runtime_env, WORKING_DIR: here}


def is_sent(config: RunConfig) -> bool:
    """Return whether Ray sends a copy of the task's folder to every node."""
    sent = config.runtime_env.get(WORKING_DIR)
    if sent is not None:
        return config.task_folder is not None and Path(sent) == Path(config.task_folder)
    job = json.loads(os.environ.get(JOB_CONFIG, "{}"))
    return WORKING_DIR in job.get("runtime_env", {})


def check_nodes(settings: TrialSettings, node: Node, display: Display) -> None:
    """Load the task on every node of the cluster. Raises TaskError with the node's name."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from clusters.resources import live_nodes

    nodes = [node for node in live_nodes() if node.resources.get("CPU", 0) > 0]
    # Without a core: no check has to wait for a busy node.
    checks = {
        ray.remote(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(n.identity, soft=False)
        )(node_job).remote(settings, node): n.host
        for n in nodes
    }
    with display.bar("nodes have loaded the task", len(checks)) as advance:
        for reference, host in checks.items():
            try:
                reason = ray.get(reference)
            except ray.exceptions.RayError:
                # The node was lost meanwhile, and Ray restarts its work elsewhere.
                reason = None
            if reason is not None:
                raise TaskError(
                    f"node {host}: {reason[:190]}; put the files there, or in a folder that all "
                    "nodes see, or send this folder by -o runtime_env={working_dir: .}"
                )
            advance()
