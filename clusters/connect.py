"""Find or start Ray."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from spaces.errors import ConfigError, one_line

# Without these Ray prints advice about itself; none of it is about the study.
SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    # Tune's own handler ends the search at a Ctrl-C and lets the study go on to the retrain.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    # They would come without the workers' environment, so that none could be used.
    "RAY_prestart_worker_first_driver": "0",
}


@dataclass(frozen=True)
class Cluster:
    """What the study runs on."""

    cpus: int
    gpus: int
    nodes: int
    dashboard: str | None
    """Address of the Ray dashboard, "host:port"."""

    def now(self) -> Cluster:
        """Return what it consists of at this moment: nodes come and go."""
        return _cluster(self.dashboard)


def _cluster(dashboard: str | None) -> Cluster:
    resources = ray.cluster_resources()
    return Cluster(
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        nodes=sum(node["Alive"] for node in ray.nodes()),
        dashboard=dashboard,
    )


def worker_environment(threads: int) -> dict[str, str]:
    """Return the variables every worker needs before it imports anything."""
    count = str(threads)
    return {
        "FLAGS_enable_pir_api": "0",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "GLOG_minloglevel": "2",
        "PYTHONWARNINGS": "ignore",
    }


@contextlib.contextmanager
def connected(
    address: str | None,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
    *,
    runtime_env: Mapping[str, Any] | None = None,
    dashboard_host: str = "127.0.0.1",
) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start a local one; leave it afterwards.

    None starts a local cluster on all cores of this machine, unless RAY_ADDRESS is
    set. `dashboard_host` is what a local one's dashboard listens on. Raises ConfigError if
    nothing answers at the address.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = address or os.environ.get("RAY_ADDRESS")
    say(f"{'ray':<12} {'connecting to ' + address if address else 'starting a local cluster'}")
    environment = dict(runtime_env or {})
    variables = {**worker_environment(threads), **environment.get("env_vars", {})}
    local = {} if address else {"dashboard_host": dashboard_host}
    try:
        context = ray.init(
            address=address or "local",
            runtime_env={**environment, "env_vars": variables},
            **local,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"cluster {address or 'local'}: cannot connect ({one_line(error)}); start Ray there, "
            "or leave --address out for a local one"
        ) from error
    try:
        yield _cluster(context.dashboard_url or None)
    finally:
        ray.shutdown()
