"""What became of a trial as Ray Tune has it: raised, or lost with its worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.experiment import Trial

from search.tune.searcher import PlanSearcher
from trainables.trainable import RETIRE


class OutcomeCallback(tune.Callback):
    """Tells the searcher of trials that have no result, and forgets what nobody asks for again."""

    def __init__(self, searcher: PlanSearcher) -> None:
        self._searcher = searcher
        self._ended: list[Trial] = []
        self._factory: tune.PlacementGroupFactory | None = None

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._ended.append(trial)
        self._factory = self._factory or trial.placement_group_factory
        if trial.last_result.get(RETIRE) and self._factory is not None:
            # Ray Tune gives an actor on to trials that ask for the same as the one it had. It
            # ends one that nobody asks for.
            bundles = self._factory.bundles
            trial.placement_group_factory = tune.PlacementGroupFactory(bundles, "STRICT_PACK")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        still = [trial for trial in self._ended if not trial.is_finished()]
        for trial in self._ended:
            if trial.is_finished():
                # Each trial was given one of its own, all alike.
                trial.placement_group_factory = self._factory or trial.placement_group_factory
                _forget(trial)
        self._ended = still

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._ended.append(trial)
        on_purpose = self._searcher.explanation(trial.trial_id)
        reason = on_purpose or failure_reason(trial.error_file)
        # One that was ended on purpose is not begun again: it would hang again.
        if on_purpose is None and is_loss(_error_of(trial)):
            self._searcher.note_loss(trial.trial_id, reason)
        else:
            self._searcher.record_failure(trial.trial_id, reason)


def _forget(trial: Trial) -> None:
    """Free what Ray keeps of a trial: the ledger has plan and results, and thousands add up."""
    trial.config.clear()
    trial.evaluated_params.clear()
    metadata = trial.run_metadata
    metadata.metric_analysis.clear()
    metadata.metric_n_steps.clear()
    metadata.last_result = {"done": True}
    metadata.invalidate_cache()
    trial.invalidate_json_state()


def _error_of(trial: Trial) -> BaseException | None:
    """Return the error of a trial, None if Ray kept none."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return None
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return error


def is_loss(error: BaseException | None) -> bool:
    """Return whether a worker, or its node, was lost, as against a trial that raised."""
    if isinstance(error, ray.exceptions.RayActorError):
        # An actor also dies of what its first call raises.
        return not error.actor_init_failed
    return isinstance(error, ray.exceptions.RayError) and not isinstance(
        error, ray.exceptions.RayTaskError
    )


def failure_reason(error_file: str | None) -> str:
    """Return one line of the error that Ray wrote down, at most 300 characters.

    Its first line says when; then comes a traceback, whose last line says what was
    raised, or a paragraph on a worker that died, which begins with what happened.
    """
    if error_file is None or not Path(error_file).is_file():
        return "the worker failed"
    lines = [line.strip() for line in Path(error_file).read_text().splitlines() if line.strip()]
    message = lines[1:] or lines
    raised = re.match(r"[\w.]*(Error|Exception)\b", message[-1])
    return (message[-1] if raised else message[0])[:300]
