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

from clusters import ray_quirks
from clusters.authentication import matching_token, token_mode_restored
from clusters.resources import live_nodes
from clusters.waiting import Awaited, said_while
from clusters.working_folder import beyond_the_job, job_environment, with_excludes
from spaces.errors import ConfigError, one_line

# What Ray raises where no cluster answers, or one that does not let us in. A full disk is none.
REFUSED = (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError)


@dataclass(frozen=True)
class Cluster:
    """What the study runs on."""

    cpus: int
    gpus: int
    nodes: int
    dashboard: str | None
    """Address of the Ray dashboard, "host:port"."""
    local: bool
    """Whether this command started it on this machine: no node will ever join."""

    @property
    def in_words(self) -> str:
        """Nodes, cores, GPUs and the dashboard's address."""
        return f"{self.nodes} nodes, {self.cpus} cores, {self.gpus} GPUs, {self._dashboard_line}"

    @property
    def _dashboard_line(self) -> str:
        if self.dashboard is None:
            return "no dashboard"
        return f"dashboard http://{self.dashboard} (token: ray get-auth-token)"

    def now(self) -> Cluster:
        """Return the cluster as it is at this moment: nodes come and go."""
        return _cluster(self.dashboard, self.local)


def _cluster(dashboard: str | None, local: bool) -> Cluster:
    resources = ray.cluster_resources()
    return Cluster(
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        nodes=len(live_nodes()),
        dashboard=dashboard,
        local=local,
    )


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that every worker needs before its imports."""
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
    """Return the error that says why a cluster cannot be connected to, and what to do."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ray.exceptions.AuthenticationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return ConfigError(
            f"cluster {address or 'local'}: it asks for a token that this machine does not have; "
            "copy ~/.ray/auth_token of its head here, or set RAY_AUTH_TOKEN"
        )
    if address in (None, "local"):
        return ConfigError(
            f"a local Ray does not start ({one_line(error)}); start again when the machine is less "
            "busy, or give the --address of a cluster"
        )
    return ConfigError(
        f"cluster {address}: cannot connect ({one_line(error)}); start Ray there, or leave "
        "--address out for a local one"
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

    None starts a local cluster on all cores of this machine, unless RAY_ADDRESS is set.
    `dashboard_host` is what a local cluster's dashboard listens on. `is_run` recognises the folders
    of runs, which are not sent with the working folder. Raises ConfigError if nothing answers at
    the address, a local cluster does not start, or the working folder cannot be sent.
    """
    ray_quirks.quieten()
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
        except Exception as error:
            # Where a node does not start in its time, Ray raises a bare Exception.
            if type(error) is Exception or isinstance(error, REFUSED):
                raise _refusal(address, error) from error
            raise
        try:
            yield _cluster(context.dashboard_url or None, local=address in (None, "local"))
        finally:
            ray.shutdown()
