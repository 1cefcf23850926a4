"""Ray Train's backend for paddle.distributed: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.train.backend import Backend, BackendConfig
from ray.util import get_node_ip_address


@dataclass
class PaddleConfig(BackendConfig):
    """Ray Train's configuration of the backend."""

    distributed_backend: str | None = None
    """`gloo` or `nccl`; None leaves the choice to each worker, which knows its devices."""

    @property
    def backend_cls(self) -> type[PaddleBackend]:
        return PaddleBackend


def _free_endpoint() -> str:
    """Return "address:port" with a free port of this worker's node."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{get_node_ip_address()}:{probe.getsockname()[1]}"


def _addresses() -> dict[str, str]:
    """Return this node's network interfaces by their addresses."""
    return {
        address.address: name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }


def _interface(endpoint: str, interfaces: dict[str, str]) -> dict[str, str]:
    """Return the variable that gives gloo the endpoint's interface; empty if none has it."""
    name = interfaces.get(endpoint.rpartition(":")[0])
    return {} if name is None else {"GLOO_SOCKET_IFNAME": name}


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.update(variables)


class PaddleBackend(Backend):
    """Gives every worker its rank and the others' endpoints, as paddle's launcher does."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, PaddleConfig)
        endpoints = worker_group.execute(_free_endpoint)
        master = worker_group.execute_single(0, _free_endpoint)
        interfaces = worker_group.execute(_addresses)
        waiting = []
        for rank, endpoint in enumerate(endpoints):
            variables = {
                "PADDLE_TRAINER_ID": str(rank),
                "PADDLE_TRAINERS_NUM": str(len(endpoints)),
                "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
                "PADDLE_CURRENT_ENDPOINT": endpoint,
                "PADDLE_MASTER": master,
                # Without it gloo takes the interface of the host's name, often the loopback.
                **_interface(endpoint, interfaces[rank]),
            }
            if backend_config.distributed_backend is not None:
                variables["PADDLE_DISTRI_BACKEND"] = backend_config.distributed_backend
            waiting.append(worker_group.execute_single_async(rank, _set_environment, variables))
        ray.get(waiting)
