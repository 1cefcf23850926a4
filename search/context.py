"""The study as its stages see it: configuration, run folder, cluster, display and clock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from clusters.connect import Cluster, connected
from clusters.lease import device_lease
from search.cli import interrupts
from search.cli.paths import check_nodes, environment_here, in_task_folder, is_sent
from search.config import RunConfig
from search.console import Display
from search.needs import check_needs, check_storage
from search.records.clock import StageClock
from search.records.ledger import Ledger
from search.records.run_folder import RunFolder, is_run_folder, run_once
from search.records.search_space import build_space
from search.records.tables import Store
from search.workers import Placement
from spaces.space import Space
from trainables.deployment.engines.registry import listing_of
from trainables.files.node import Node
from trainables.results import Baseline
from trainables.settings import INPUTS, TrialSettings, WorkerSettings

# Baseline size from which a process that timed models is not used again. Paddle leaves a copy of
# the weights behind for each engine that is alive while another is loaded (LOG: memory of workers,
# and the search of YOLOv3). The limit itself is a guess.
LARGE_BYTES = 20e6


def worker_settings(config: RunConfig, run_folder: str, cache: str | None) -> TrialSettings:
    """Return the workers' settings. `run_folder` is the run's folder on their node."""
    return TrialSettings(
        **{name: getattr(config, name) for name in WorkerSettings.model_fields},
        run_folder=run_folder,
        cache_folder=cache,
        task_folder_sent=is_sent(config),
    )


def trial_settings(config: RunConfig, run: RunFolder) -> TrialSettings:
    """Return the settings of a run's workers."""
    return worker_settings(config, run.node_path, config.cache)


def shipped(config: RunConfig, run: RunFolder) -> dict[str, str]:
    """Upload the files that the options in `config.ship` name, once, if the run is on storage.

    Returns their names in the run's folder, by option.
    """

    def send() -> dict[str, str]:
        found = {}
        for option in config.ship if run.folder.storage is not None else ():
            value = config.task_options.get(option)
            source = in_task_folder(config, value) if isinstance(value, str) else None
            if source is not None and source.exists():
                name = f"{INPUTS}/{option}"
                target = run.path / name / source.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, dirs_exist_ok=True)
                else:
                    shutil.copy2(source, target)
                run.files.upload(run.path, name)
                found[option] = f"{name}/{source.name}"
        return found

    sent: dict[str, str] = run_once(run, "inputs", send)
    return sent


@contextmanager
def cluster_of(config: RunConfig, display: Display) -> Iterator[Cluster]:
    """Connect to the configured cluster; leave it afterwards."""
    with connected(
        config.address,
        config.threads,
        display.say,
        runtime_env=environment_here(config, display.say),
        dashboard_host=config.dashboard_host,
        is_run=is_run_folder,
    ) as cluster:
        interrupts.current.install()
        yield cluster


@dataclass(frozen=True)
class StudyContext:
    """A study on a cluster."""

    config: RunConfig
    run: RunFolder
    settings: TrialSettings
    store: Store
    cluster: Cluster
    node: Node
    display: Display
    clock: StageClock

    @classmethod
    def of(
        cls,
        config: RunConfig,
        run: RunFolder,
        cluster: Cluster,
        display: Display,
        clock: StageClock | None = None,
    ) -> StudyContext:
        """Raises ConfigError if a local cluster lacks what the run asks for, or a cluster of
        several nodes has no storage."""
        check_storage(config, cluster)
        check_needs(config, cluster, display)
        node = Node(device_lease(per_gpu=listing_of(config).on_gpu), run.files)
        settings = trial_settings(config, run).having(shipped=shipped(config, run))
        store = Store(run.folder)
        return cls(config, run, settings, store, cluster, node, display, clock or StageClock())

    def space(self, baseline: Baseline) -> Space:
        """Return the search space. Raises ConfigError if the engine offers none of the choices."""
        return build_space(self.config, baseline)

    def ledger(self, baseline: Baseline, space: Space) -> Ledger:
        """Return the trials of the run, read from its tables."""
        return Ledger.of_run(self.store, self.config, space.groups, baseline)

    def configured(self, config: RunConfig) -> StudyContext:
        """Return this study with another configuration."""
        told = {name: getattr(config, name) for name in WorkerSettings.model_fields}
        return replace(self, config=config, settings=self.settings.having(**told))

    def begin(self) -> None:
        """Make the run's tables, and load the task on every node.

        Raises TaskError, naming the node, if it cannot be loaded there.
        """
        self.store.create()
        # A single node without a baseline loads the task to measure that.
        if self.cluster.nodes > 1 or self.run.stage("baseline") is not None:
            check_nodes(self.settings, self.node, self.display)

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Announce a stage, and time it."""
        self.display.say(f"{name:<12} {text}")
        with self.clock.measure(name):
            yield

    def timing_placement(self, baseline: Baseline, cpus: float = 1) -> Placement:
        """Return where a call runs that times several models."""
        large = baseline.size_bytes > LARGE_BYTES
        return replace(self.placement(timed=True, cpus=cpus), own_process=large)

    def placement(self, *, timed: bool, cpus: float = 1) -> Placement:
        """Return where a call runs: on a node of the target's kind if it times models."""
        marker = self.config.target_resource if timed else None
        return Placement(cpus, self.config.gpus_per_trial, marker)
