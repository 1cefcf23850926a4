"""What a study's work asks of the nodes, and whether the cluster can run it."""

from __future__ import annotations

from dataclasses import dataclass

from clusters.connect import Cluster
from clusters.resources import MARKER_AMOUNT, Nodes, Resources, in_words
from search.config import RunConfig
from search.console import Display
from spaces.errors import ConfigError

# The setting behind each resource of a trial.
SETTINGS = {"CPU": "threads", "GPU": "gpus_per_trial", "memory": "memory_gb_per_trial"}
# Parts of the sensitivities for each trial that the cluster can run at once. Each builds, traces
# and exports the model first, which takes longer than a small validation split; with fewer parts
# the cluster waits longer for the last one. A guess.
PARTS = 3


@dataclass(frozen=True)
class Need:
    """Work that runs at once, on one node or on several."""

    what: str
    asked: Resources
    pieces: int = 1


def trials_at_once(config: RunConfig, cluster: Cluster) -> int:
    """Return the maximum number of trials that run at once."""
    most = max(1, cluster.cpus // config.threads)
    if config.gpus_per_trial:
        most = min(most, max(1, int(cluster.gpus / config.gpus_per_trial)))
    return config.concurrency or most


def trial_resources(config: RunConfig) -> dict[str, float]:
    """Return what a trial asks of a node, by Ray's names of resources."""
    asked: dict[str, float] = {
        "CPU": config.threads,
        "GPU": config.gpus_per_trial,
        "memory": (config.memory_gb_per_trial or 0.0) * 1e9,
    }
    if config.target_resource is not None:
        asked[config.target_resource] = MARKER_AMOUNT
    return {name: value for name, value in asked.items() if value}


def retrain_worker_resources(config: RunConfig) -> dict[str, float]:
    """Return what one worker of a retrain asks of a node: what Ray Train gives it."""
    return {"GPU": 1.0} if config.gpus_per_trial > 0 else {"CPU": 1.0}


def count_retrain_workers(config: RunConfig, cluster: Cluster) -> int:
    """Return the number of data-parallel workers of a retrain."""
    default = cluster.gpus if config.gpus_per_trial > 0 else min(2, cluster.cpus)
    return max(1, config.retrain_workers or default)


def check_needs(config: RunConfig, cluster: Cluster, display: Display) -> None:
    """Raise ConfigError if a local cluster can never run the study. Another cluster may still get
    nodes: say what it waits for."""
    nodes = Nodes.now()
    for need in (
        Need("a trial", trial_resources(config)),
        Need(
            "the retrain", retrain_worker_resources(config), count_retrain_workers(config, cluster)
        ),
    ):
        missing = nodes.shortage(need.asked, need.pieces)
        if missing is None:
            continue
        if cluster.local:
            raise ConfigError(_refusal(need, config, nodes))
        display.say(f"{'':<12} {need.what} will wait for nodes: {missing}")


def check_storage(config: RunConfig, cluster: Cluster) -> None:
    """Raise ConfigError if a cluster of several nodes has no storage to share the run's files."""
    if cluster.nodes > 1 and config.storage is None:
        raise ConfigError(
            f"storage is not set, and the cluster has {cluster.nodes} nodes: give one that all of "
            "them reach with --storage, a mounted folder or a URI such as s3://bucket/runs"
        )


def _refusal(need: Need, config: RunConfig, nodes: Nodes) -> str:
    """Return which setting asks for more than this machine has, and what to set it to."""
    has = nodes.largest(need.asked)
    if need.pieces > 1:
        most = max(1, nodes.capacity(need.asked))
        return (
            f"retrain_workers={need.pieces}: each takes {in_words(need.asked)}, and this machine "
            f"has {has}; give -o retrain_workers={most} or less"
        )
    name = next(n for n in need.asked if nodes.shortage({n: need.asked[n]}) is not None)
    if name in SETTINGS:
        setting = SETTINGS[name]
        asked = in_words({name: need.asked[name]})
        return (
            f"{setting}={getattr(config, setting):g}: {need.what} takes {asked}, and this machine "
            f"has {has}; give less with -o {setting}=NUMBER"
        )
    return (
        f"target_resource={name}: no node has it, this machine has {has}; leave it out, or give "
        "the --address of a Ray whose nodes were started with it"
    )
