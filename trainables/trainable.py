"""The Ray Tune Trainable that runs trials; one actor runs many of them."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from ray import tune
from ray._raylet import setproctitle  # type: ignore[attr-defined]

from spaces.errors import one_line
from spaces.plan import Plan
from trainables.files.codec import encode
from trainables.files.node import Node
from trainables.results import Baseline, TrialResult
from trainables.settings import TrialSettings

# Keys of a trial's configuration, and of its results.
NUMBER, PLAN, LEVEL, RESULT, RETIRE = "number", "plan", "level", "result", "retire"
# Trials after which an actor's memory is taken as its normal size (LOG: on a cluster, measured).
SETTLED = 5
# Multiple of that size at which an actor is replaced (LOG: on a cluster, measured).
GROWTH = 1.1


class CompressionTrainable(tune.Trainable):
    """Runs one stage of a trial per step.

    An error becomes a FAILED result and the actor lives on: the next trial needs it, with paddle
    loaded and the baseline ready.
    """

    def setup(
        self,
        config: dict[str, Any],
        settings: TrialSettings | None = None,
        baseline: Baseline | None = None,
        node: Node | None = None,
    ) -> None:
        from trainables.context import TrialContext

        assert settings is not None and baseline is not None and node is not None
        self._trials = 0
        self._settled: int | None = None
        self._context = TrialContext(settings, baseline, node)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        from trainables.files import task_folder
        from trainables.trial import run_trial

        # Ray Tune changes to a folder of its own for every trial.
        task_folder.enter(self._context.settings)
        # Reference cycles of the last trial may hold its model.
        gc.collect()
        self._plan = Plan.from_json(json.loads(config[PLAN]))
        self._trials += 1
        self._number, self._level = int(config[NUMBER]), int(config[LEVEL])
        self._last = TrialResult("RUNNING")
        self._stages: Iterator[TrialResult] = run_trial(
            self._number, self._plan, self._context, self._level
        )

    def step(self) -> dict[str, Any]:
        setproctitle(self._title())
        try:
            self._last = next(self._stages)
        except Exception as error:
            self._last = TrialResult(
                "FAILED",
                reason=one_line(error),
                measurements=self._last.measurements,
                readings=self._last.readings,
                seconds=self._last.seconds,
            )
            self._write_traceback()
        self._last.worker = f"{platform.node()}:{os.getpid()}"
        return {
            RESULT: encode(TrialResult, self._last),
            "latency_ratio": self._last.latency_ratio,
            "metric_loss": self._last.metric_loss,
            RETIRE: self._has_grown(),
            "done": self._last.state != "RUNNING",
        }

    def _has_grown(self) -> bool:
        """Return whether this process has leaked so much memory that it should be replaced.

        Each of Paddle's engines leaks some megabytes (LOG: on a cluster, measured).
        """
        if self._last.state == "RUNNING" or self._trials < SETTLED:
            return False
        resident: int = psutil.Process().memory_info().rss
        if self._settled is None:
            self._settled = resident
        return resident > GROWTH * self._settled

    def _title(self) -> str:
        """Return the process title for Ray's dashboard and `ps`: the plan, and the next stage."""
        name = f"{type(self).__name__} plan-{self._number:06d} {self._plan.quantization.value}"
        if self._level == 0 and self._context.settings.shape_first and not self._last.readings:
            return f"ray::{name} shape"
        return f"ray::{name} level {self._level}"

    def _write_traceback(self) -> None:
        folder: Path = self._context.settings.candidate_folder(self._number, self._level)
        # On a full disk, the result still has the reason.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text(traceback.format_exc())

    def cleanup(self) -> None:
        self._stages.close()  # type: ignore[attr-defined]
