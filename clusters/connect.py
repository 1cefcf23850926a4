"""Find or start Ray."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from clusters.authentication import matching_token, token_mode_restored
from clusters.waiting import Awaited, said_while
from clusters.working_folder import beyond_the_job, job_environment, with_excludes
from spaces.errors import ConfigError, one_line

# Without these Ray prints advice about itself; none of it is about the study.
SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    # A worker that leaves a checkpoint waits until the controller has looked for it, by default
    # every 2 s: a retrain of seconds with 18 checkpoints spent half a minute so (LOG.md).
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # An actor more for each retrain, which tells the training of nodes that will be taken away: it
    # does not listen, and goes on from its last checkpoint once they are gone.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
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
    # A project's .gitignore names data and weights, which its code reads on every node.
    "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",
}


@dataclass(frozen=True)
class Cluster:
    """What the study runs on."""

    cpus: int
    gpus: int
    nodes: int
    dashboard: str | None
    """Address of the Ray dashboard, "host:port"."""
    local: bool
    """Whether it is of this machine alone, begun by this command: no node will ever join."""

    @property
    def in_words(self) -> str:
        """What it has, and where its dashboard is."""
        return f"{self.nodes} nodes, {self.cpus} cores, {self.gpus} GPUs, {self._dashboard_line}"

    @property
    def _dashboard_line(self) -> str:
        if self.dashboard is None:
            return "no dashboard"
        return f"dashboard http://{self.dashboard} (token: ray get-auth-token)"

    def now(self) -> Cluster:
        """Return what it consists of at this moment: nodes come and go."""
        return _cluster(self.dashboard, self.local)


def _cluster(dashboard: str | None, local: bool) -> Cluster:
    resources = ray.cluster_resources()
    return Cluster(
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        nodes=sum(node["Alive"] for node in ray.nodes()),
        dashboard=dashboard,
        local=local,
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


def _refusal(address: str | None, error: BaseException) -> ConfigError:
    """Return why a cluster cannot be connected to, and what to do about it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ray.exceptions.AuthenticationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return ConfigError(
            f"cluster {address or 'local'}: it asks for a token that this machine does not have; "
            "copy ~/.ray/auth_token of its head here, or set RAY_AUTH_TOKEN"
        )
    return ConfigError(
        f"cluster {address or 'local'}: cannot connect ({one_line(error)}); start Ray there, "
        "or leave --address out for a local one"
    )


@contextlib.contextmanager
def connected(
    address: str | None,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
    *,
    runtime_env: Mapping[str, Any] | None = None,
    dashboard_host: str = "127.0.0.1",
    is_run: Callable[[Path], bool] = lambda _: False,
) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, or start a local one; leave it afterwards.

    None starts a local cluster on all cores of this machine, unless RAY_ADDRESS is
    set. `dashboard_host` is what a local one's dashboard listens on. `is_run` tells the folders
    of runs, which no working folder takes along. Raises ConfigError if nothing answers at the
    address, or if the working folder cannot be sent.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # The last one warns that the token is on, which the start line says.
    quiet = ("ray.tune", "ray.train", "ray.data", "ray._private.authentication")
    for name in quiet:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = address or os.environ.get("RAY_ADDRESS")
    say(f"{'ray':<12} {'connecting to ' + address if address else 'starting a local cluster'}")
    job = job_environment()
    variables = {**worker_environment(threads), **(runtime_env or {}).get("env_vars", {})}
    environment = beyond_the_job({**(runtime_env or {}), "env_vars": variables}, job)
    environment = with_excludes(environment, is_run)
    local = {} if address else {"dashboard_host": dashboard_host}
    with token_mode_restored():
        try:
            awaited = Awaited(f"Ray at {address}" if address else "a local Ray")
            with said_while(awaited, say), matching_token(address):
                context = ray.init(
                    address=address or "local",
                    runtime_env=environment,
                    **local,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=True,
                )
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise ConfigError(
                f"working folder: cannot be sent to the nodes ({one_line(error)}); start from "
                "another folder, or name what cannot be read in .rayignore"
            ) from error
        except (
            ConnectionError,
            ValueError,
            RuntimeError,
            ray.exceptions.AuthenticationError,
        ) as error:
            raise _refusal(address, error) from error
        try:
            yield _cluster(context.dashboard_url or None, local=address in (None, "local"))
        finally:
            ray.shutdown()
