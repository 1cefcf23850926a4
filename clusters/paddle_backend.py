"""Ray Train's backend for paddle.distributed: gloo on CPUs, NCCL on GPUs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig
from ray.util import get_node_ip_address


@dataclass
class PaddleConfig(BackendConfig):
    """How the workers of a data-parallel training find each other."""

    distributed_backend: str = "gloo"
    """`gloo` or `nccl`."""

    @property
    def backend_cls(self) -> type[PaddleBackend]:
        return PaddleBackend


def _free_endpoint() -> str:
    """Return "address:port" of a port that is free on this worker's node."""
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{get_node_ip_address()}:{probe.getsockname()[1]}"


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.update(variables)


class PaddleBackend(Backend):
    """Tells every worker its rank and where the others are, as paddle's launcher would."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, PaddleConfig)
        endpoints = worker_group.execute(_free_endpoint)
        master = worker_group.execute_single(0, _free_endpoint)
        waiting = []
        for rank, endpoint in enumerate(endpoints):
            variables = {
                "PADDLE_TRAINER_ID": str(rank),
                "PADDLE_TRAINERS_NUM": str(len(endpoints)),
                "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
                "PADDLE_CURRENT_ENDPOINT": endpoint,
                "PADDLE_MASTER": master,
                "PADDLE_DISTRI_BACKEND": backend_config.distributed_backend,
            }
            waiting.append(worker_group.execute_single_async(rank, _set_environment, variables))
        ray.get(waiting)
