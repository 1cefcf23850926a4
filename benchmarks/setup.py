"""What a method is given, and the preparation of real problems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from clusters.lease import device_lease
from search.records.search_space import reference_timings, timed
from search.records.stage_files import Curves, Timings
from spaces.layers import Layer
from spaces.measurements import fast_choices, reference_plans, sensitivity_ratios, timing_plans
from spaces.plan import Plan
from spaces.space import Space
from trainables.deployment.exported import MODEL_FILE
from trainables.files.cache import JsonCache, fingerprint_of
from trainables.files.node import Node
from trainables.jobs import baseline_job, export_job, latency_job, reference_job, sensitivity_job
from trainables.results import Baseline, TimedShape, TrialResult
from trainables.settings import TrialSettings

Value = TypeVar("Value")

# Ratios per group and plans to time: the defaults of `sensitivity_points` and `latency_points`.
SENSITIVITY_POINTS = 6
LATENCY_POINTS = 12


@dataclass(frozen=True)
class Setup:
    """A problem as a method sees it, without the evaluations."""

    name: str
    space: Space
    layers: Sequence[Layer]
    sensitivities: Mapping[str, Sequence[tuple[float, float]]]
    timings: Sequence[tuple[Plan, float]]
    budget: float
    seed: int = 0


@dataclass(frozen=True)
class RealProblem:
    """A task, its budget, and the fidelity of its trials."""

    name: str
    task: str
    budget: float
    finetune_samples: int
    qat_samples: int
    latency_batch: int = 64
    trained: str | None = None
    """The problem under benchmarks/problems whose baseline is trained first."""
    options: Mapping[str, str] = field(default_factory=dict)

    def settings(self, work: Path, seed: int) -> TrialSettings:
        options = dict(self.options)
        if self.trained is not None:
            options["weights"] = str(work / f"{self.name}.safetensors")
        return TrialSettings(
            task=self.task,
            task_options=options,
            run_folder=str(work / self.name / f"worker-{os.getpid()}"),
            cache_folder=str(work / "cache"),
            seed=seed,
            # One level: a trial is trained in full.
            retrain_samples=1,
            finetune_samples=self.finetune_samples,
            qat_samples=self.qat_samples,
            latency_batch=self.latency_batch,
            # No trial is stopped.
            shape_first=False,
        )


# Budgets that restrict the choice: at twice these of digits and nuclei even the most pruned plan is
# feasible.
PROBLEMS = (
    RealProblem("fashion_mnist", "fashion_mnist", 0.1, 1600, 500),
    RealProblem("digits", "benchmarks.problems.digits:make_task", 0.02, 1600, 500, 64, "digits"),
    RealProblem("nuclei", "benchmarks.problems.nuclei:make_task", 0.025, 480, 160, 16, "nuclei"),
)


class Prepared:
    """A real problem with its baseline, sensitivities and timings, persisted in a folder."""

    def __init__(self, problem: RealProblem, work: Path, seed: int) -> None:
        self.problem, self.work, self.seed = problem, work, seed
        self.settings = problem.settings(work, seed)
        self._stored = JsonCache(work / problem.name)
        if (
            problem.trained is not None
            and not Path(self.settings.task_options["weights"]).is_file()
        ):
            from benchmarks.problems.baselines import train_baseline

            train_baseline(problem.trained, Path(self.settings.task_options["weights"]))
        self.baseline = self._baseline()
        self._context = None

    def _baseline(self) -> Baseline:
        """Return the baseline, measured once; every process has its own exports."""
        folder = self.settings.baseline_folder
        known = self._stored.get("baseline", Baseline)
        if known is None or not (folder / MODEL_FILE).is_file():
            mine = baseline_job(self.settings)
            if known is None:
                self._stored.put("baseline", Baseline, mine)
                known = mine
        plans = reference_plans(self._space(known))
        arguments = self.settings, known, Node(device_lease()), plans
        export_job(*arguments)
        return replace(known, references=timed(reference_job(*arguments)))

    def _space(self, baseline: Baseline) -> Space:
        from search.config import RunConfig
        from search.records.search_space import build_space

        return build_space(RunConfig(budget=self.problem.budget), baseline)

    def _once(self, name: str, kind: type[Value], compute: Callable[[], Value]) -> Value:
        known = self._stored.get(name, kind)
        if known is None:
            known = compute()
            self._stored.put(name, kind, known)
        return known

    def setup(self) -> Setup:
        space = self._space(self.baseline)

        def sensitivities() -> Curves:
            ratios = {
                g.name: sensitivity_ratios(space, g, SENSITIVITY_POINTS) for g in space.groups
            }
            found = sensitivity_job(self.settings, self.baseline, Node(), ratios)
            return {
                group: [(row.ratio, row.metric_loss) for row in rows if row.metric_loss is not None]
                for group, (rows, _) in found.items()
            }

        def timings() -> Timings:
            pairs = reference_timings(self.baseline, space)
            close = fast_choices(pairs)
            shapes = [
                plan
                for choice in close
                for plan in timing_plans(space, choice, LATENCY_POINTS // len(close), 0)
                if plan not in dict(pairs)
            ]
            return [*pairs, *((s.plan, s.reading.ratio) for s in self._timed(shapes))]

        curves = self._once("sensitivity", Curves, sensitivities)
        pairs = self._once("timings", Timings, timings)
        return Setup(
            self.problem.name,
            space,
            self.baseline.layers,
            curves,
            pairs,
            self.problem.budget,
            self.seed,
        )

    def _timed(self, plans: Iterable[Plan]) -> list[TimedShape]:
        wanted = list(dict.fromkeys(plans))
        found = latency_job(self.settings, self.baseline, Node(device_lease()), wanted)
        return [item for item in found if isinstance(item, TimedShape)]

    def evaluate(self, plan: Plan) -> TrialResult:
        """Return the result of a full trial; equal plans and seeds are trained only once."""
        from spaces.errors import one_line
        from trainables.context import TrialContext
        from trainables.trial import run_trial

        key = fingerprint_of(plan.to_json(), self.seed, self.problem.finetune_samples)
        trials = JsonCache(self.work / self.problem.name / "trials")
        known = trials.get(key, TrialResult)
        if known is not None:
            return known
        if self._context is None:
            self._context = TrialContext(self.settings, self.baseline, Node(device_lease()))
        try:
            *_, result = run_trial(0, plan, self._context)
        except Exception as error:
            result = TrialResult("FAILED", reason=one_line(error))
        trials.put(key, TrialResult, result)
        return result
