"""What this package relies on inside Ray 2.60, and Ray's environment switches: each with its
reason, and what shows when Ray changes it.

No other file here imports a private module of Ray. tests/clusters/test_ray_quirks.py tries each
part against the installed Ray.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.runtime_env.packaging import _dir_travel, _get_excludes
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import Config  # type: ignore[attr-defined]

# Set where the user has not set them. Shows: a switch that Ray no longer reads does nothing.
SWITCHES = {
    # Without it Ray warns that tasks without a GPU will see other devices.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # The retrain uses the second version's trainer.
    "RAY_TRAIN_V2_ENABLED": "1",
    # A worker that reports a checkpoint waits for the controller's next look, every 2 s by default.
    # With 18 checkpoints a short retrain waited half a minute (LOG: where the seconds of a small
    # run go).
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # It costs each retrain an actor, which warns the training of nodes about to be taken away. Ours
    # ignores the warning: it resumes from its last checkpoint once they are gone.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Tune's own handler ends the search at a Ctrl-C and lets the study go on to the retrain.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The search shows its own progress.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    # CSV, JSON and TensorBoard files of each trial: the run's tables have all of it.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own state, which no run is resumed from: the tables are.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Each rung is decided on before the trial goes on.
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    # Such workers come without the job's environment, so none of them could be used.
    "RAY_prestart_worker_first_driver": "0",
    # A project's .gitignore names data and weights, which its code reads on every node.
    "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",
}
# Loggers that report on Ray itself. The last one says that a token is on, as our start line does.
TALKATIVE = ("ray.tune", "ray.train", "ray.data", "ray._private.authentication")
# Where a Ray job's driver finds the job's configuration, as JSON.
JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# A call that Ray's head answers, without arguments. Shows: a cluster with a token seems to ask for
# none, and the connection is refused.
CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
# `ray.init` turns a token on by this variable, and leaves it set. Shows: a process cannot connect
# to a cluster without a token after one with it.
TOKEN_MODE = AUTH_MODE_ENV_VAR

_silent = logging.getLogger(f"{__name__}.silent")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def quieten() -> None:
    """Set Ray's switches and silence its reports on itself; before Ray starts."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def job_config() -> Mapping[str, Any]:
    """Return the configuration of the Ray job that this process is; empty outside of one."""
    found: Mapping[str, Any] = json.loads(os.environ.get(JOB_CONFIG) or "{}")
    return found


def free_resources() -> dict[str, dict[str, float]]:
    """Return what each node has free, by its id.

    Reason: `ray.available_resources` has only the sum over all nodes. Shows: AttributeError in
    the lines about what a wait lacks.
    """
    found: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    return found


def head_address(address: str) -> str:
    """Return the "host:port" that "auto" stands for; others as they are.

    Reason: the head is asked whether it wants a token before `ray.init` may connect.
    """
    if address != "auto":
        return address
    found: str = canonicalize_bootstrap_address(address)
    return found


def show_token() -> bool:
    """Have this process show its token to clusters; return whether it has one.

    Reason: `ray.init("HOST:PORT")` does not look for the token, only `ray.init("auto")` does (LOG:
    tried as its users would). Shows: a cluster with a token refuses the connection.
    """
    return bool(maybe_enable_token_auth_if_token_available(warn_if_disabled=False))


def reread_token_mode() -> None:
    """Have Ray's core follow TOKEN_MODE in the environment, which it reads once.

    Ray makes the same call when it turns the token on.
    """
    Config.initialize("")


def lean_trainer() -> type[Any]:
    """Return Ray Train's DataParallelTrainer without two actors of its own for each training.

    Reason: one gives out Ray's data sets, and there are none; the other removes the placement group
    of a controller that died, as Ray itself does for one that is not detached. They take 3.5
    processor seconds, and the workers start 2 s later. Shows: DatasetManager and
    PlacementGroupCleaner run during a retrain.
    """
    from ray.train.v2._internal.callbacks import DatasetsCallback
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback,
    )
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    left_out = (DatasetsCallback, PlacementGroupCleanerCallback)

    class LeanTrainer(DataParallelTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            made = super()._create_default_callbacks()
            return [callback for callback in made if not isinstance(callback, left_out)]

    return LeanTrainer


def walk_sent_files(
    root: Path,
    patterns: Sequence[str],
    excluded: Callable[[Path], bool],
    visit: Callable[[Path], None],
) -> None:
    """Call `visit` with each path that Ray sends of a working folder.

    `patterns` are excluded as .gitignore reads them, and so is what `excluded` says. Reason: only
    Ray's own walk counts the files that Ray sends. Shows: a folder that is too large is sent, and
    Ray's refusal is printed as it is.
    """
    tests = [_get_excludes(root, list(patterns)), excluded]
    _dir_travel(root, tests, visit, include_gitignore=False, logger=_silent)
