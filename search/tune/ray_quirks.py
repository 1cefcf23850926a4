"""What the search relies on inside Ray Tune 2.60: each with its reason, and what shows when Ray
changes it.

No other file of search/ touches the internals of a Ray trial. tests/search/tune/test_ray_quirks.py
tries each part against the installed Ray.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.air._internal import usage
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

# Longest reason of a failure, in characters: it is one cell of a table. A guess.
LONGEST_REASON = 300


class StaysInDriver:
    """Mixin for what Ray Tune is given but must not write down: pickled, it is an empty object.

    Reason: `Tuner` pickles its callbacks, scheduler and searcher into tuner.pkl, for
    `Tuner.restore`. Ours hold a storage connection, a terminal and actors, which cannot be pickled,
    and a run is resumed from its tables instead. Shows: `Tuner(...)` raises that it cannot pickle.
    """

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()


def leave_callbacks_uncounted() -> None:
    """Have Ray Tune not count a search's callbacks for its statistics of usage.

    Reason: it imports MLflow, Weights & Biases and others, if they are installed, to count their
    callbacks, and the search begins a second later. Shows: it does so again.
    """
    usage.tag_callbacks = lambda callbacks: False


class InOrder(FIFOScheduler):
    """Ray's scheduler that runs trials in order; Ray alone decides which worker takes which.

    Reason: FIFOScheduler names the trial to run next. Ray hands it the next idle worker and cancels
    the worker that was being started for it, so a node that joins never gets a trial if trials end
    faster than a worker starts (LOG: a node that joined and never got a trial). Shows: new nodes
    stay idle, or Ray demands a trial here.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: Ray then takes pending trials in order by itself."""


def retire_actor(trial: Trial) -> None:
    """Have Ray end the actor of a trial that completes, and not reuse it.

    Reason: Ray reuses an actor for a trial with an equal placement group, and ends actors that no
    trial asks for; there is no call for it. Another strategy makes the placement group unequal.
    Shows: actors outgrow their memory, as those of `RETIRE` serve on.
    """
    bundles = trial.placement_group_factory.bundles
    trial.placement_group_factory = tune.PlacementGroupFactory(bundles, "STRICT_PACK")


class FinishedTrials:
    """Frees what Ray holds of finished trials.

    Reason: Ray keeps every trial until the search ends, with its own placement group request, its
    configuration three times and its last result: 22.5 kB a trial, 19.3 without (LOG: on a cluster,
    measured). The ledger has all of it. Shows: AttributeError here, or a driver that
    grows.
    """

    def __init__(self) -> None:
        self._ended: list[Trial] = []
        self._request: tune.PlacementGroupFactory | None = None

    def add(self, trial: Trial) -> None:
        """Note a trial that completed or failed; Ray still works with it."""
        self._ended.append(trial)
        self._request = self._request or trial.placement_group_factory

    def free(self) -> None:
        """Free the noted trials that Ray is done with."""
        for trial in self._ended:
            if trial.is_finished():
                trial.placement_group_factory = self._request
                _free(trial)
        self._ended = [trial for trial in self._ended if not trial.is_finished()]


def _free(trial: Trial) -> None:
    trial.config.clear()
    trial.evaluated_params.clear()
    metadata = trial.run_metadata
    metadata.metric_analysis.clear()
    metadata.metric_n_steps.clear()
    # Ray asks a trial that has ended for this one key.
    metadata.last_result = {"done": True}
    # Both cache the trial as JSON.
    metadata.invalidate_cache()
    trial.invalidate_json_state()


def has_worker(trial: Trial) -> bool:
    """Return whether a trial has an actor at the moment."""
    return trial.temporary_state.ray_actor is not None


def kill_worker(trial: Trial) -> None:
    """Kill a trial's actor; Ray then finds it dead, and the trial failed.

    Reason: Ray's own ways to end a trial ask its actor, and one that hangs never answers. Shows: a
    trial that hangs is reported as ended, and is waited for all the same.
    """
    ray.kill(trial.temporary_state.ray_actor)


def lost_its_worker(trial: Trial) -> bool:
    """Return whether a failed trial lost its worker or node, as against raising an error.

    Reason: Ray tells a callback only that a trial failed; the error is in a file. Shows: lost
    trials count as failed at once, without a retry.
    """
    error = _error_of(trial)
    if isinstance(error, ray.exceptions.RayActorError):
        # An actor also dies of what its first call raises.
        return not error.actor_init_failed
    return isinstance(error, ray.exceptions.RayError) and not isinstance(
        error, ray.exceptions.RayTaskError
    )


def _error_of(trial: Trial) -> BaseException | None:
    """Return the error of a trial, None if Ray wrote none."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return None
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return error


def failure_reason(trial: Trial) -> str:
    """Return one line on why a trial failed, at most LONGEST_REASON characters.

    Reason: Ray's error file begins with the time. Then comes a traceback, whose last line names the
    error, or a paragraph on a dead worker, whose first line says what happened. Shows: reasons in
    the tables that are dates or fragments.
    """
    path = trial.error_file
    if path is None or not Path(path).is_file():
        return "the worker failed"
    lines = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
    message = lines[1:] or lines
    raised = re.match(r"[\w.]*(Error|Exception)\b", message[-1])
    return (message[-1] if raised else message[0])[:LONGEST_REASON]
